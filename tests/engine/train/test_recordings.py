"""WAV files in, samples by label out."""

import wave
from pathlib import Path

import numpy as np
import pytest

from engine.train import read_recordings, read_wave


def record(path: Path, data: bytes, size: int, channels: int = 1, rate: int = 8000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(size)
        file.setframerate(rate)
        file.writeframes(data)
    return path


@pytest.mark.parametrize(
    ("size", "raw"),
    [
        (1, np.array([0, 64, 128, 192], np.uint8)),
        (2, np.array([-1, -0.5, 0, 0.5]) * 2**15),
        (4, np.array([-1, -0.5, 0, 0.5]) * 2**31),
    ],
)
def test_every_width_means_the_same(tmp_path: Path, size: int, raw: np.ndarray) -> None:
    data = raw.astype("u1" if size == 1 else f"<i{size}").tobytes()
    samples, rate = read_wave(record(tmp_path / "a.wav", data, size))
    assert rate == 8000
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, [-1, -0.5, 0, 0.5])


def test_channels_are_averaged(tmp_path: Path) -> None:
    data = (np.array([1, 0, 0.5, -0.5]) * 2**14).astype("<i2").tobytes()
    samples, _ = read_wave(record(tmp_path / "a.wav", data, 2, channels=2))
    np.testing.assert_array_equal(samples, [0.25, 0.0])


def test_a_width_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.wav: samples of 3 bytes"):
        read_wave(record(tmp_path / "a.wav", bytes(6), 3))


def test_folders_are_labels(tmp_path: Path) -> None:
    for name in ("B/2", "B/1", "A/1"):
        record(tmp_path / f"{name}.wav", bytes([128 + int(name[2])]), 1)
    record(tmp_path / "beep.wav", bytes(1), 1)
    spoken, rate = read_recordings(tmp_path)
    assert rate == 8000
    assert {label: [x[0] * 128 for x in found] for label, found in spoken.items()} == {
        "A": [1],
        "B": [1, 2],
    }


def test_folders_that_hold_no_recordings_or_several_rates(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no recordings"):
        read_recordings(tmp_path)
    record(tmp_path / "A" / "1.wav", bytes(1), 1)
    record(tmp_path / "B" / "1.wav", bytes(1), 1, rate=16000)
    with pytest.raises(ValueError, match=r"8000 Hz.*16000 Hz"):
        read_recordings(tmp_path)
