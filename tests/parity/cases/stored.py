"""Arguments and results in, plain JSON and one array a dtype out, and back; needs no PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np

import engine

Array = np.ndarray[Any, Any]


class Unstorable(Exception):
    """An argument that is neither data nor a tensor."""


class Writer:
    """Values in, JSON out; the numbers of all tensors end to end, one array for each dtype."""

    def __init__(self) -> None:
        self.parts: dict[str, list[Array]] = {}
        self.sizes: dict[str, int] = {}

    def array(self, array: Array) -> list[Any]:
        """Where an array was put: dtype, beginning, shape."""
        kind, at = str(array.dtype), self.sizes.get(str(array.dtype), 0)
        self.parts.setdefault(kind, []).append(array.ravel())
        self.sizes[kind] = at + array.size
        return [kind, at, list(array.shape)]

    def pack(self, value: Any) -> Any:
        """A nested argument as JSON."""
        if isinstance(value, engine.Tensor):
            place = self.array(value.detach().numpy())
            return {"tensor": [*place, value.requires_grad]}
        if isinstance(value, tuple):
            return {"tuple": [self.pack(item) for item in value]}
        if isinstance(value, list):
            return [self.pack(item) for item in value]
        if isinstance(value, dict):
            return {"dict": {key: self.pack(item) for key, item in value.items()}}
        if isinstance(value, slice):
            return {"slice": [self.pack(x) for x in (value.start, value.stop, value.step)]}
        if isinstance(value, np.dtype):
            return {"dtype": str(value)}
        if value is Ellipsis:
            return {"ellipsis": 0}
        if value is None or type(value) in (bool, int, float, str):
            return value
        raise Unstorable(f"a {type(value).__name__} is an argument")

    def arrays(self) -> dict[str, Array]:
        """All numbers, by dtype."""
        return {kind: np.concatenate(parts) for kind, parts in self.parts.items()}


class Reader:
    """The reverse of ``Writer``; tensors to differentiate are added to ``leaves``."""

    def __init__(self, arrays: dict[str, Array]) -> None:
        self.arrays = arrays

    def array(self, place: list[Any]) -> Array:
        """The array that was put there."""
        kind, at, shape = place[:3]
        size = int(np.prod(shape, dtype=np.int64))
        return self.arrays[kind][at : at + size].reshape(shape).copy()

    def unpack(self, value: Any, leaves: list[Any]) -> Any:
        """JSON as the nested argument that it was."""
        if isinstance(value, list):
            return [self.unpack(item, leaves) for item in value]
        if not isinstance(value, dict):
            return value
        ((kind, given),) = value.items()
        if kind == "tensor":
            tensor = engine.from_numpy(self.array(given))
            if given[3]:
                tensor.requires_grad = True
                leaves.append(tensor)
            return tensor
        if kind == "dict":
            return {key: self.unpack(item, leaves) for key, item in given.items()}
        if kind == "dtype":
            return getattr(engine, given)
        items = self.unpack(given, leaves)
        return {"tuple": tuple, "slice": lambda x: slice(*x), "ellipsis": lambda _: ...}[kind](
            items
        )
