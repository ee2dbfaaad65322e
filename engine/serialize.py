"""Tensors by name in, a safetensors file out, and back.

A flat mapping of names to tensors (a ``state_dict``) makes a file that ``safetensors.torch`` reads,
and the other way round. Anything nested (model, optimizer, epoch number) keeps its structure as
JSON in the file's metadata; its tensors are stored under dotted names. No pickle anywhere. Every
tensor's digest lies in the metadata, so damage is noticed, not loaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save as to_bytes

from engine.creation import from_numpy
from engine.errors import EngineError, message
from engine.locate import user_location
from engine.tensor import Tensor
from ir.types import BF16

Arrays: TypeAlias = dict[str, npt.NDArray[Any]]

_TREE, _DIGESTS = "tracefuse.tree", "tracefuse.digests"
_LONGEST_HEADER = 100_000_000  # the format's own bound
_DTYPES: dict[str, Any] = {
    "F16": np.float16,
    "BF16": BF16,
    "F32": np.float32,
    "F64": np.float64,
    "I8": np.int8,
    "I16": np.int16,
    "I32": np.int32,
    "I64": np.int64,
    "U8": np.uint8,
    "U32": np.uint32,
    "BOOL": np.bool_,
}


class CheckpointError(EngineError, ValueError):
    """A file that cannot be loaded: its path, what was found, what to do."""


def save(state: Mapping[Any, Any], path: str | os.PathLike[str]) -> None:
    """Write a ``state_dict`` or a nested dict of tensors and plain values to ``path``.

    The file appears whole or not at all: it is written beside, flushed, and renamed into place.
    Raises TypeError for a value that is neither tensor, number, string, None, nor a container.

    >>> torch.save(model.state_dict(), "model.safetensors")
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"save takes a dict of tensors, not {type(state).__name__}")
    arrays: Arrays = {}
    tree = _flatten(state, "", arrays)
    metadata = {_DIGESTS: json.dumps({name: _digest(array) for name, array in arrays.items()})}
    if not all(isinstance(value, Tensor | np.ndarray) for value in state.values()):
        metadata[_TREE] = json.dumps(tree)
    _replace(Path(path), to_bytes(arrays, metadata=metadata))


def load(path: str | os.PathLike[str]) -> dict[Any, Any]:
    """What ``save`` wrote, or the tensors of any safetensors file, by name.

    Raises ``CheckpointError`` for a file that is truncated, damaged or of another kind, and
    FileNotFoundError where there is none.
    """
    data = Path(path).read_bytes()
    header, start = _header(path, data)
    metadata = header.pop("__metadata__", None) or {}
    arrays = {name: _array(path, name, entry, data, start) for name, entry in header.items()}
    _check_end(path, header, len(data) - start)
    _check_digests(path, arrays, metadata.get(_DIGESTS))
    if _TREE not in metadata:
        return {name: from_numpy(array) for name, array in arrays.items()}
    try:
        found: dict[Any, Any] = _unflatten(json.loads(metadata[_TREE]), arrays)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _bad(path, f"its structure does not match its tensors ({error!r})") from None
    return found


def _flatten(value: Any, name: str, arrays: Arrays) -> Any:
    """The JSON tree of ``value``; its tensors go to ``arrays`` under unique names."""
    if isinstance(value, Tensor | np.ndarray):
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        unique, count = name, 1
        while unique in arrays:
            count += 1
            unique = f"{name}#{count}"
        arrays[unique] = np.ascontiguousarray(array).reshape(array.shape)
        return {"tensor": unique}
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    if isinstance(value, Mapping):
        items = []
        for key, inner in value.items():
            if not isinstance(key, str | int):
                raise TypeError(f"save: the key {key!r} is neither a string nor an int")
            items.append([key, _flatten(inner, f"{name}.{key}" if name else str(key), arrays)])
        return {"dict": items}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_flatten(v, f"{name}.{at}", arrays) for at, v in enumerate(value)]}
    raise TypeError(f"save: '{name}' is a {type(value).__name__}; tensors and plain values only")


def _unflatten(tree: Any, arrays: Arrays) -> Any:
    ((kind, value),) = tree.items()
    match kind:
        case "tensor":
            return from_numpy(arrays[value])
        case "value":
            return value
        case "dict":
            return {key: _unflatten(inner, arrays) for key, inner in value}
        case "list":
            return [_unflatten(inner, arrays) for inner in value]
        case "tuple":
            return tuple(_unflatten(inner, arrays) for inner in value)
    raise ValueError(f"unknown kind {kind!r}")


def _replace(path: Path, data: bytes) -> None:
    """Write a neighbour, flush it, rename it into place, flush the folder."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _header(path: Any, data: bytes) -> tuple[dict[str, Any], int]:
    """The parsed header and where the tensors' bytes begin."""
    foreign = data[:2] == b"PK" or data[:1] == b"\x80"
    if foreign and data[8:9] != b"{":  # the length of a header may well begin with these bytes
        raise _bad(path, "it is a pickle or zip file, such as torch.save writes")
    if len(data) < 8:
        raise _bad(path, f"it is {len(data)} bytes long, shorter than any header")
    length = int.from_bytes(data[:8], "little")
    if length > _LONGEST_HEADER or data[8:9] != b"{":
        raise _bad(path, "it does not begin with a safetensors header")
    if len(data) < 8 + length:
        raise _bad(path, f"it ends within its header: {len(data)} of {8 + length} bytes")
    try:
        header = json.loads(data[8 : 8 + length])
    except ValueError:
        raise _bad(path, "its header is no JSON") from None
    if not isinstance(header, dict):
        raise _bad(path, "its header is no JSON object")
    return header, 8 + length


def _array(path: Any, name: str, entry: Any, data: bytes, start: int) -> npt.NDArray[Any]:
    """One tensor's bytes as an array of its own; an error where they are not all there."""
    try:
        kind, shape = entry["dtype"], tuple(int(size) for size in entry["shape"])
        first, last = (int(at) for at in entry["data_offsets"])
    except (KeyError, TypeError, ValueError):
        raise _bad(path, f"the entry of '{name}' lacks dtype, shape or offsets") from None
    if kind not in _DTYPES:
        hint = f"convert it first; supported are {', '.join(_DTYPES)}"
        raise _bad(path, f"'{name}' is of dtype {kind}", hint)
    if start + last > len(data):
        raise _bad(path, f"it ends within '{name}': {len(data)} of {start + last} bytes")
    dtype = np.dtype(_DTYPES[kind])
    count = 1
    for size in shape:
        count *= size
    if (
        not 0 <= first <= last
        or min(shape, default=0) < 0
        or last - first != count * dtype.itemsize
    ):
        raise _bad(path, f"'{name}' of shape {list(shape)} does not fill its {last - first} bytes")
    return np.frombuffer(data, dtype, count, start + first).reshape(shape).copy()


def _check_end(path: Any, header: Mapping[str, Any], size: int) -> None:
    end = max((int(entry["data_offsets"][1]) for entry in header.values()), default=0)
    if size != end:
        raise _bad(path, f"it holds {size} bytes of tensors where its header names {end}")


def _check_digests(path: Any, arrays: Arrays, digests: str | None) -> None:
    if digests is None:
        return  # another program's file
    try:
        known = dict(json.loads(digests))
    except (ValueError, TypeError):
        raise _bad(path, "its digests are not readable") from None
    for name, array in arrays.items():
        if known.get(name) != _digest(array):
            raise _bad(path, f"the bytes of '{name}' are not the ones that were saved")


def _digest(array: npt.NDArray[Any]) -> str:
    return hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=16).hexdigest()


def _bad(path: Any, found: str, hint: str = "") -> CheckpointError:
    hint = hint or "load a file written by engine.save or by safetensors; nothing was loaded"
    what = f"cannot load {os.fspath(path)}: {found}"
    return CheckpointError(message(user_location(), what, hint))
