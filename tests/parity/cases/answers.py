"""A call and its arguments in, the engine's outputs and gradients out; needs no PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import engine

Array = np.ndarray[Any, Any]
Result = tuple[list[Any], list[Any]]  # outputs, gradients


def cotangent(shape: tuple[int, ...], at: int) -> Array:
    """What output ``at`` is multiplied with before everything is summed and differentiated."""
    places = np.arange(1.0, 1.0 + int(np.prod(shape))).reshape(shape)
    return np.asarray(np.cos(1.7 * places + at))


TOLERANCE = {"float32": (1e-4, 1e-5), "float64": (1e-7, 1e-7)}


def near(found: Any, wanted: Array) -> bool:
    """Whether a result has the dtype, the shape and (to a share of the largest) the numbers."""
    array = np.asarray(found.detach().numpy() if isinstance(found, engine.Tensor) else found)
    if array.dtype != wanted.dtype or array.shape != wanted.shape:
        return False
    rtol, atol = TOLERANCE.get(str(wanted.dtype), (0.0, 0.0))
    finite = np.abs(wanted[np.isfinite(wanted)]) if atol else np.zeros(0)
    largest = max(1.0, float(finite.max(initial=0.0)))
    return bool(np.allclose(array, wanted, rtol, atol * largest, equal_nan=True))


def tensors(value: Any, kind: type) -> list[Any]:
    """Every tensor of a nested result, in order; numbers count, None and text do not."""
    if isinstance(value, kind):
        return [value]
    if isinstance(value, dict):
        return tensors(list(value.values()), kind)
    if isinstance(value, tuple | list):
        return [leaf for item in value for leaf in tensors(item, kind)]
    return [] if value is None or isinstance(value, str) else [value]


def weighted(outputs: list[Any], cotangents: list[Any], tensor: Callable[..., Any]) -> Any:
    """The sum of outputs times cotangents, to differentiate."""
    pairs = [(x, w) for x, w in zip(outputs, cotangents, strict=True) if w is not None]
    return sum((x * tensor(w, dtype=x.dtype)).sum() for x, w in pairs)


def answered(
    call: Callable[..., Any], args: Any, kwargs: Any, leaves: list[Any], draws: list[Array | None]
) -> Result:
    """The engine's outputs and the gradients of ``leaves``; inside a step as well as outside."""
    outputs = tensors(call(*args, **kwargs), engine.Tensor)
    if not leaves or all(w is None for w in draws) or len(outputs) != len(draws):
        return outputs, []
    loss = weighted(outputs, draws, engine.tensor)
    grads = engine.autograd.grad(loss, leaves, allow_unused=True)
    return outputs, [
        engine.zeros_like(x) if g is None else g for g, x in zip(grads, leaves, strict=True)
    ]


def stepped(
    mine: Callable[..., Any], draws: list[Array | None], own: Sequence[Any]
) -> Callable[..., Result]:
    """The comparison's forward and backward pass as one compiled step."""

    def step(args: Any, kwargs: Any, differentiate: bool) -> Result:
        given = tensors((*args, kwargs), engine.Tensor) if differentiate else []
        leaves = [x for x in given if getattr(x, "requires_grad", False)]
        leaves = [*leaves, *own] if differentiate else []
        return answered(mine, args, kwargs, leaves, draws)

    return engine.jit(step)
