"""An OpInfo in, a report out: in every dtype, compiled, as a method, in place, misused, in half.

The cases are a spread over PyTorch's own, the first and every n-th of them; tensors of more than
``LARGEST`` elements are passed over, for time alone.
"""

from __future__ import annotations

import itertools
import random
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from cases.answers import tensors
from cases.compare import compare, last_line
from cases.factors import fixed
from cases.names import (
    NOT_DEFINED,
    RANDOM,
    UNDEFINED,
    decided,
    full_name,
    left_out_case,
    method_name,
    mine,
    owner,
)
from cases.values import HALVES, NAMES, ours
from cases.verdicts import FAILED, LEFT_OUT, PASSED, Report, Verdict
from torch.utils._pytree import tree_map

import engine

LARGEST = 4000
LOOKED_AT = 160
COUNTS = {torch.float32: 24, torch.float64: 10}
INTEGER = 4
COMPILED, METHOD, INPLACE, ERRORS, HALF = 2, 2, 2, 24, 4
Case = tuple[tuple[Any, ...], dict[str, Any]]


def report(info: Any, kinds: tuple[str, ...] = ()) -> Report:
    """Every comparison of one entry; only ``kinds`` where some are named."""
    told = Report(full_name(info), owner(info.name))
    torch.manual_seed(0)
    values = info.name not in RANDOM and info.name not in UNDEFINED
    if not values:
        reason = "its values are random" if info.name in RANDOM else NOT_DEFINED
        told.left_out[f"values: {reason}"] += 1
    makers: dict[str, Callable[[], None]] = {
        "eager": lambda: eager(info, told, values),
        "compiled": lambda: told.add("compiled", compiled(info, values)),
        "method": lambda: told.add("method", methods(info, values)),
        "inplace": lambda: told.add("inplace", inplace(info, values)),
        "errors": lambda: told.add("errors", errors(info)),
        "half": lambda: half(info, told, values),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind, make in makers.items():
            if not kinds or kind in kinds:
                try:
                    make()
                except Exception as error:
                    text = f"the database's cases: {type(error).__name__}: {last_line(error)}"
                    told.add(kind, [Verdict(LEFT_OUT, text)])
    return told


def eager(info: Any, told: Report, values: bool) -> None:
    """Values and gradients in every dtype that both sides have."""
    supported = info.supported_dtypes("cpu")
    for name in NAMES:
        dtype = getattr(torch, name)
        if dtype not in supported:
            continue
        count = COUNTS.get(dtype, INTEGER)
        verdicts = (
            judged(info, args, kwargs, values=values) for args, kwargs in chosen(info, dtype, count)
        )
        told.add("eager", verdicts, name)


def compiled(info: Any, values: bool) -> Iterator[Verdict]:
    """The first cases in float32 (else int64), forward and gradient in one compiled step."""
    cases = chosen(info, main_dtype(info), COMPILED, varied=False)
    return steps(info, cases, values)


def steps(info: Any, cases: Iterable[Case], values: bool) -> Iterator[Verdict]:
    """Cases as compiled steps."""
    for args, kwargs in cases:
        found = judged(info, args, kwargs, compiled=True, values=values)
        why = decided(full_name(info), found.reason) if found.status == FAILED else ""
        yield Verdict(LEFT_OUT, why) if why else found


def half(info: Any, told: Report, values: bool) -> None:
    """Some cases in both half precisions, and the first of each compiled."""
    for name in HALVES:
        dtype = getattr(torch, name)
        if dtype in info.supported_dtypes("cpu"):
            found = [judged(info, *case, values=values) for case in chosen(info, dtype, HALF)]
            first = itertools.islice(chosen(info, dtype, 1, varied=False), 1)
            told.add("half", [*found, *steps(info, first, values)], name)


def judged(info: Any, args: Any, kwargs: Any, **how: bool) -> Verdict:
    """The verdict on one case, or why there is none."""
    why = left_out_case(info.name, kwargs)
    return Verdict(LEFT_OUT, why) if why else compare(*sides(info), args, kwargs, **how)


def sides(info: Any) -> list[Callable[..., Any]]:
    """The engine's function and PyTorch's."""
    return [fixed(full_name(info), call) for call in (mine(info), info.op)]


def main_dtype(info: Any) -> torch.dtype:
    """float32, else what the entry has of the others."""
    supported = info.supported_dtypes("cpu")
    return next(d for d in (torch.float32, torch.int64, torch.bool) if d in supported)


def methods(info: Any, values: bool) -> Iterator[Verdict]:
    """The same function as a method of the tensor."""
    name = method_name(info.get_method())
    if not name or name.startswith("__"):
        return
    for args, kwargs in chosen(info, main_dtype(info), METHOD, varied=False):
        if not args or not isinstance(args[0], torch.Tensor):
            continue
        both = [
            fixed(full_name(info), getattr(kind, name)) for kind in (engine.Tensor, torch.Tensor)
        ]
        yield compare(*both, args, kwargs, values=values)


def inplace(info: Any, values: bool) -> Iterator[Verdict]:
    """The method that writes, on a copy so that the gradient flows."""
    name = method_name(info.get_inplace())
    if not name or name.startswith("__"):
        return
    for args, kwargs in chosen(info, main_dtype(info), INPLACE, varied=False):
        sides = [written(kind, name) for kind in (engine.Tensor, torch.Tensor)]
        yield compare(*sides, args, kwargs, values=values)


def written(kind: Any, name: str) -> Callable[..., Any]:
    """A function that writes into a copy of its first argument."""

    def run(x: Any, *args: Any, **kwargs: Any) -> Any:
        copy = x.clone()
        out = getattr(kind, name)(copy, *args, **kwargs)
        assert out is copy, f"{name} returned another tensor"
        return copy

    return run


def chosen(info: Any, dtype: torch.dtype, count: int, varied: bool = True) -> Iterator[Case]:
    """A spread over PyTorch's samples: the first, every n-th, and one with gaps in memory."""
    wanted = info.supports_autograd and dtype in info.supported_backward_dtypes("cpu")
    wanted = wanted and dtype.is_floating_point
    look = LOOKED_AT if varied else 3 * count
    try:
        looked = drawn(info.reference_inputs if varied else info.sample_inputs, dtype, wanted, look)
    except Exception:  # some of the database's richer generators ask for a bool with gradients
        looked = drawn(info.sample_inputs, dtype, wanted, look)
    samples = [s for s in looked if small(s)]
    if not samples:
        return
    if varied:
        yield as_case(samples[0].noncontiguous())
    step = max(1, -(-len(samples) // count))
    for sample in samples[::step][:count]:
        yield as_case(sample)


def drawn(source: Any, dtype: torch.dtype, wanted: bool, count: int) -> list[Any]:
    """The beginning of a generator of samples, the same in every run."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    return list(itertools.islice(source("cpu", dtype, requires_grad=wanted), count))


def small(sample: Any) -> bool:
    """Whether its tensors are quick to compare."""
    found = tensors((sample.input, *sample.args, sample.kwargs), torch.Tensor)
    return all(x.numel() <= LARGEST for x in found if isinstance(x, torch.Tensor))


def as_case(sample: Any) -> Case:
    """A sample's positional and named arguments."""
    args, kwargs = tree_map(rooted, ((sample.input, *sample.args), dict(sample.kwargs)))
    return args, kwargs


def rooted(value: Any) -> Any:
    """A leaf that the database made as a view, on its own: PyTorch gives the view no gradient."""
    if not isinstance(value, torch.Tensor) or not value.is_leaf or value._base is None:
        return value
    return value.detach().requires_grad_(value.requires_grad)


def errors(info: Any) -> Iterator[Verdict]:
    """Whether PyTorch's misuses raise the same kind of error, or a subclass of it."""
    if info.error_inputs_func is None:
        return
    for case in itertools.islice(info.error_inputs("cpu"), ERRORS):
        sample = case.sample_input
        try:
            args = ours((sample.input, *sample.args), [])
            kwargs = ours(sample.kwargs, [])
        except Exception as reason:
            yield Verdict(LEFT_OUT, f"misuse: {reason}")
            continue
        if "out" in kwargs:
            yield Verdict(LEFT_OUT, "out= is not offered")
            continue
        try:
            info.op(sample.input, *sample.args, **sample.kwargs)
        except Exception:
            yield raised(lambda args=args, kw=kwargs: mine(info)(*args, **kw), case.error_type)
        else:
            yield Verdict(LEFT_OUT, "misuse: PyTorch itself raises nothing here")


def raised(call: Callable[[], Any], wanted: Any) -> Verdict:
    """The verdict on one call that has to raise ``wanted``."""
    names = wanted.__name__ if isinstance(wanted, type) else str(wanted)
    try:
        call()
    except wanted:
        return Verdict(PASSED)
    except Exception as error:
        kind = type(error).__name__
        return Verdict(FAILED, f"raised {kind}, PyTorch {names}: {last_line(error)}")
    return Verdict(FAILED, f"raised nothing, PyTorch {names}")
