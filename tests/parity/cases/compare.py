"""One call of each side in, a verdict out: dtype, shape, values and gradients.

Every element is held to ``SLACK`` times the tolerances of ``torch.testing``. PyTorch's float32
carries an error of its own, so a float32 element that misses it may also lie near PyTorch's float64
result of the same inputs: within twice PyTorch's own error at that element and those tolerances.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from cases.answers import Result, answered, cotangent, stepped, tensors, weighted
from cases.values import LeftOut, array, differentiable, exact, fresh, ours
from cases.verdicts import FAILED, LEFT_OUT, PASSED, Verdict

import engine

TOLERANCE = {
    np.dtype("f4"): (1.3e-6, 1e-5),
    np.dtype("f8"): (1e-7, 1e-7),
    engine.float16: (2.0**-10, 2.0**-10),  # one unit in the last place
    engine.bfloat16: (2.0**-7, 2.0**-7),
}
SLACK = 2
HALVES = (engine.float16, engine.bfloat16)
NARROW = (np.dtype("f4"), *HALVES)
Array = np.ndarray[Any, Any]


def difference(found: Any, wanted: Any, truth: Any, what: str) -> str:
    """How two values differ in type, shape or numbers; "" where they agree."""
    a, b = array(found), array(wanted)
    if a.dtype != b.dtype:
        return f"{what}: dtype {a.dtype}, PyTorch has {b.dtype}"
    if a.shape != b.shape:
        return f"{what}: shape {a.shape}, PyTorch has {b.shape}"
    same = close(a, b)
    if same.all():
        return ""
    if truth is not None and b.dtype in NARROW:
        same |= better(a, b, array(truth))
    if same.all():
        return ""
    at = tuple(int(i) for i in np.argwhere(~same)[0])
    return f"{what}: {a[at]} at {list(at)}, PyTorch has {b[at]}"


def close(a: Array, b: Array) -> Any:
    """Where two arrays agree."""
    rtol, atol = TOLERANCE.get(b.dtype, (0.0, 0.0))
    if b.dtype in HALVES:
        a, b = a.astype(np.float32), b.astype(np.float32)
        atol *= largest(b)
    return np.isclose(a, b, rtol=SLACK * rtol, atol=SLACK * atol, equal_nan=True)


def largest(numbers: Array) -> float:
    """The size of the largest finite number, at least 1: what the sums of halves are rounded to."""
    finite = np.abs(numbers[np.isfinite(numbers)])
    return max(1.0, float(finite.max(initial=0.0)))


def better(a: Array, b: Array, truth: Array) -> Any:
    """Where narrow ``a`` is about as near to the float64 value as PyTorch's narrow ``b``."""
    if truth.dtype != np.float64 or truth.shape != a.shape:
        return np.zeros(a.shape, bool)
    rtol, atol = TOLERANCE[b.dtype]
    rounded, a, b = truth.astype(b.dtype), a.astype(np.float64), b.astype(np.float64)
    allowed = 2 * np.abs(b - truth) + SLACK * (atol + rtol * np.abs(truth))
    return close(a.astype(rounded.dtype), rounded) | (np.abs(a - truth) <= allowed)


def weights(outputs: list[Any]) -> list[Array | None]:
    """A cotangent for each PyTorch output that carries a gradient, one that its dtype holds."""
    return [
        held(cotangent(tuple(x.shape), at), x.dtype) if getattr(x, "requires_grad", False) else None
        for at, x in enumerate(outputs)
    ]


def held(numbers: Array, dtype: torch.dtype) -> Array:
    """The numbers as a half holds them; in wider floats as they are."""
    if dtype not in (torch.float16, torch.bfloat16):
        return numbers
    return np.asarray(torch.tensor(numbers).to(dtype).double().numpy())


def first_difference(found: list[Any], wanted: list[Any], truth: list[Any], what: str) -> str:
    """The first pair that differs, or a difference in number."""
    if len(found) != len(wanted):
        return f"{what}: {len(found)} of them, PyTorch has {len(wanted)}"
    truths = truth if len(truth) == len(wanted) else [None] * len(wanted)
    trios = enumerate(zip(found, wanted, truths, strict=True))
    told = (difference(a, b, c, f"{what} {at}") for at, (a, b, c) in trios)
    return next(filter(None, told), "")


def asked(
    call: Callable[..., Any],
    args: Any,
    kwargs: Any,
    draws: list[Array | None] | None = None,
    also: Sequence[Any] = (),
) -> tuple[Result, list[Array | None]]:
    """PyTorch's outputs and gradients, and the cotangents that they were taken with."""
    result = call(*args, **kwargs)
    if result is NotImplemented:
        raise LeftOut("PyTorch answers NotImplemented")
    outputs = tensors(result, torch.Tensor)
    if any(getattr(x, "is_complex", lambda: False)() for x in outputs):
        raise LeftOut("complex results are not offered")
    draws = weights(outputs) if draws is None else draws
    leaves = [*differentiable([*args, kwargs]), *also]
    if not leaves or all(w is None for w in draws):
        return (outputs, []), draws
    loss = weighted(outputs, draws, torch.tensor)
    grads = torch.autograd.grad(loss, leaves, allow_unused=True)
    full = [torch.zeros_like(x) if g is None else g for g, x in zip(grads, leaves, strict=True)]
    return (outputs, full), draws


def compare(
    mine: Callable[..., Any],
    theirs: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    compiled: bool = False,
    values: bool = True,
    own: Sequence[Any] = (),
    their: Sequence[Any] = (),
) -> Verdict:
    """One case: values and gradients of ``mine`` against those of ``theirs``.

    ``own`` and ``their`` are parameters to differentiate besides the arguments.
    """
    leaves: list[Any] = []
    args, kwargs = fresh(args), fresh(kwargs)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            my_args, my_kwargs = ours(args, leaves), ours(kwargs, leaves)
            (outputs, grads), draws = asked(theirs, args, kwargs, None, their)
        except LeftOut as reason:
            return Verdict(LEFT_OUT, str(reason))
        except Exception as error:
            return Verdict(LEFT_OUT, f"PyTorch raises {type(error).__name__}")
        grads = grads if values else []
        try:
            run = stepped(mine, draws, own) if compiled else None
            found = (
                run(my_args, my_kwargs, bool(grads))
                if run
                else answered(mine, my_args, my_kwargs, [*leaves, *own] if grads else [], draws)
            )
        except engine.Unsupported as error:
            return Verdict(LEFT_OUT, f"not offered: {last_line(error)}")
        except Exception as error:
            return Verdict(FAILED, f"{type(error).__name__}: {last_line(error)}")
    try:
        with np.errstate(all="ignore"):
            told = judged(found, (outputs, grads), (theirs, args, kwargs, draws), values)
    except Exception as error:
        told = f"{type(error).__name__}: {last_line(error)}"
    return Verdict(FAILED if told else PASSED, told, bool(grads) and not told)


def judged(found: Result, wanted: Result, again: Any, values: bool) -> str:
    """The first difference between results; PyTorch is asked in float64 only when there is one."""
    if not values:
        return alike(found[0], wanted[0])

    def told(truth: Result) -> str:
        return first_difference(found[0], wanted[0], truth[0], "output") or first_difference(
            found[1], wanted[1], truth[1], "gradient"
        )

    first = told(([], []))
    if not first or not any(array(x).dtype in NARROW for x in (*wanted[0], *wanted[1])):
        return first
    theirs, args, kwargs, draws = again
    if isinstance(theirs, torch.nn.Module):
        theirs = copy.deepcopy(theirs).double()
    also = list(theirs.parameters()) if isinstance(theirs, torch.nn.Module) else []
    try:
        truth, _ = asked(theirs, exact(args), exact(kwargs), draws, also)
    except Exception:
        return first
    return told(truth)


def alike(found: list[Any], wanted: list[Any]) -> str:
    """How random results differ in what is not random."""
    kinds = [[(array(x).dtype, array(x).shape) for x in side] for side in (found, wanted)]
    return "" if kinds[0] == kinds[1] else f"{kinds[0]}, PyTorch has {kinds[1]}"


def last_line(error: BaseException) -> str:
    """The line of an error that says what is wrong, short."""
    lines = [line for line in str(error).splitlines() if not line.startswith("hint")]
    return (lines[-1] if lines else "")[:160]
