"""States in, files and the same states out; damaged and foreign files in, clear errors out."""

import os
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

import engine
import engine.optim
from engine import nn
from engine.serialize import CheckpointError, load, save


def test_state_dict_is_plain_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    state = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm2d(2)).state_dict()
    save(state, path)
    other = safetensors.numpy.load_file(path)
    found = load(path)
    assert set(other) == set(found) == set(state)
    for name, value in state.items():
        np.testing.assert_array_equal(other[name], value.numpy())
        np.testing.assert_array_equal(found[name].numpy(), value.numpy())
        assert found[name].dtype == value.dtype
    assert os.listdir(tmp_path) == ["model.safetensors"]


def test_foreign_safetensors_load(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    arrays = {"a.b": np.arange(6.0).reshape(2, 3), "flag": np.array([True]), "s": np.float32([1])}
    safetensors.numpy.save_file(arrays, path, metadata={"format": "pt"})
    found = load(path)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name].numpy(), array)


def test_headers_of_every_length_load(tmp_path: Path) -> None:
    """A header's length is the first thing in a file: it may look like the start of a pickle."""
    path, first = tmp_path / "model.safetensors", set()
    for length in range(1, 257, 8):
        save({"w" * length: engine.ones(1)}, path)
        first.add(path.read_bytes()[0])
        assert list(load(path)) == ["w" * length]
    assert 0x80 in first


def test_nested_state_keeps_its_structure(tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    opt = engine.optim.Adam(model.parameters(), lr=0.1, betas=(0.8, 0.9))
    model(engine.ones(1, 3)).sum().backward()
    opt.step()
    state = {
        "model": model.state_dict(),
        "optimizer": opt.state_dict(),
        "epoch": 3,
        "note": None,
        "history": [0.5, engine.tensor([1, 2])],
    }
    path = tmp_path / "all.safetensors"
    save(state, path)
    found = load(path)
    assert found["epoch"] == 3
    assert found["note"] is None
    assert found["history"][1].tolist() == [1, 2]
    assert found["optimizer"]["param_groups"][0]["betas"] == (0.8, 0.9)
    twin = nn.Linear(3, 2)
    twin.load_state_dict(found["model"])
    other = engine.optim.Adam(twin.parameters())
    other.load_state_dict(found["optimizer"])
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())
        mine, theirs = opt.state[p]["exp_avg"], other.state[q]["exp_avg"]
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


def test_names_that_would_collide(tmp_path: Path) -> None:
    path = tmp_path / "x"
    save({"a.b": engine.tensor([1]), "a": {"b": engine.tensor([2])}}, path)
    found = load(path)
    assert found["a.b"].tolist() == [1]
    assert found["a"]["b"].tolist() == [2]


def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save({"weight": engine.ones(4, 5), "bias": engine.zeros(5)}, path)
    return path


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    path = saved(tmp_path)
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError):
            load(path)


def test_every_flipped_byte_of_the_tensors_is_noticed(tmp_path: Path) -> None:
    path = saved(tmp_path)
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    for at in range(start, len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(CheckpointError, match="are not the ones that were saved"):
            load(path)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "0 bytes long"),
        (b"PK\x03\x04 a zip archive", r"such as torch.save writes"),
        (b"\x80\x04\x95 a pickle", "pickle"),
        (b"\x89PNG\r\n\x1a\n and more bytes", "does not begin with a safetensors header"),
        (b"\x02\0\0\0\0\0\0\0{]", "no JSON"),
        (b'\x0a\0\0\0\0\0\0\0{"a": [1]}', "lacks dtype"),
    ],
)
def test_foreign_files(tmp_path: Path, data: bytes, text: str) -> None:
    path = tmp_path / "foreign.bin"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=text) as caught:
        load(path)
    lines = str(caught.value).splitlines()
    assert "test_serialize.py" in lines[0]
    assert "foreign.bin" in lines[1]
    assert lines[-1].startswith("hint: ")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "absent")


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = saved(tmp_path)
    before = path.read_bytes()
    with pytest.raises(TypeError, match="'bad' is a set"):
        save({"weight": engine.ones(1), "bad": {1}}, path)  # type: ignore[dict-item]
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model.safetensors"]
