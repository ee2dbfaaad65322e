"""A ModuleInfo in, a report out: the same weights in both modules, training and evaluating.

Outputs, gradients of inputs and parameters, and the state afterwards are compared; the keys of
the state dict must be PyTorch's.
"""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from cases.compare import compare, last_line
from cases.ops import raised
from cases.values import DTYPES, LeftOut, ours
from cases.verdicts import FAILED, LEFT_OUT, Report, Verdict
from torch.testing._internal.common_modules import ModuleErrorEnum, module_db

import engine

COUNT = {torch.float32: 16, torch.float64: 6}
COMPILED, ERRORS = 2, 12
VISION = ("Conv", "Pool", "Upsample", "Fold", "Unfold", "Pixel")


def entries() -> list[Any]:
    """The database's entries for modules that the engine has."""
    return [info for info in module_db if resolve(info) is not None]


def resolve(info: Any) -> type | None:
    """The engine's module class of the same name."""
    found = getattr(engine.nn, info.name.rsplit(".", 1)[-1], None)
    return found if isinstance(found, type) else None


def owner(name: str) -> str:
    """D for what slides over images, E for the rest."""
    return "D" if any(part in name for part in VISION) else "E"


def report(info: Any, kinds: tuple[str, ...] = ()) -> Report:
    """Every comparison of one module."""
    told = Report(info.name, owner(info.name))
    if info.is_lazy:
        told.left_out["lazy modules take their sizes from the first input"] += 1
        return told
    makers: dict[str, Callable[[], None]] = {
        "eager": lambda: eager(info, told),
        "compiled": lambda: told.add("compiled", compiled(info)),
        "errors": lambda: told.add("errors", errors(info)),
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


def eager(info: Any, told: Report) -> None:
    """Both modes in both float dtypes."""
    for dtype, count in COUNT.items():
        if dtype in info.supported_dtypes("cpu"):
            verdicts = (
                verdict(info, case, dtype, mode) for case, mode in cases(info, dtype, count)
            )
            told.add("eager", verdicts, str(dtype).removeprefix("torch."))


def compiled(info: Any) -> Iterator[Verdict]:
    """The first float32 cases, forward and backward pass in one compiled step."""
    for case, training in cases(info, torch.float32, COMPILED):
        yield verdict(info, case, torch.float32, training, compiled=True)


def cases(info: Any, dtype: torch.dtype, count: int) -> Iterator[tuple[Any, bool]]:
    """PyTorch's inputs, half of them in training."""
    modes = (True, False) if info.train_and_eval_differ else (True,)
    for training in modes:
        torch.manual_seed(0)
        made = info.module_inputs_func(
            info, device="cpu", dtype=dtype, requires_grad=True, training=training
        )
        for case in itertools.islice(made, -(-count // len(modes))):
            yield case, training


def verdict(
    info: Any, case: Any, dtype: torch.dtype, training: bool, compiled: bool = False
) -> Verdict:
    """One pair of modules on one input."""
    built = case.constructor_input
    try:
        theirs = info.module_cls(*built.args, **built.kwargs).to(dtype)
    except Exception as error:
        return Verdict(LEFT_OUT, f"PyTorch raises {type(error).__name__}")
    theirs.train(training)
    try:
        kind: Any = resolve(info)
        mine = kind(*ours(built.args, []), **ours(built.kwargs, []))
        told = load(mine.to(DTYPES[dtype]), theirs)
        mine.train(training)
    except LeftOut as reason:
        return Verdict(LEFT_OUT, str(reason))
    except engine.Unsupported as error:
        return Verdict(LEFT_OUT, f"not offered: {last_line(error)}")
    except Exception as error:
        return Verdict(FAILED, f"constructing: {type(error).__name__}: {last_line(error)}")
    if told:
        return Verdict(FAILED, told)
    return run(mine, theirs, case.forward_input, compiled)


def load(mine: Any, theirs: Any) -> str:
    """PyTorch's weights into the engine's module; how the keys differ."""
    given = dict(theirs.state_dict())
    if list(mine.state_dict()) != list(given):
        return f"state has {list(mine.state_dict())}, PyTorch {list(given)}"
    state = {name: engine.tensor(value.detach().numpy()) for name, value in given.items()}
    mine.load_state_dict(state)
    return ""


def run(mine: Any, theirs: Any, given: Any, compiled: bool) -> Verdict:
    """Outputs, gradients of the input and of parameters, and state."""
    params = [p for p in theirs.parameters() if p.requires_grad]
    own = [p for p in mine.parameters() if p.requires_grad]
    found = compare(mine, theirs, tuple(given.args), given.kwargs, compiled, own=own, their=params)
    if found.status in (FAILED, LEFT_OUT):
        return found
    for (name, value), other in zip(
        theirs.state_dict().items(), mine.state_dict().values(), strict=True
    ):
        if not np.allclose(other.numpy(), value.numpy(), rtol=1e-5, atol=1e-6, equal_nan=True):
            return Verdict(FAILED, f"{name} differs after the pass")
    return found


def errors(info: Any) -> Iterator[Verdict]:
    """Whether PyTorch's misuses raise the same kind of error, or a subclass of it."""
    if info.module_error_inputs_func is None:
        return
    modes = (True, False) if info.train_and_eval_differ else (True,)
    for training in modes:
        made = info.module_error_inputs_func(
            info, device="cpu", dtype=torch.float32, requires_grad=False, training=training
        )
        for case in itertools.islice(made, ERRORS):
            yield misuse(resolve(info), case)


def misuse(kind: Any, case: Any) -> Verdict:
    """One misuse, of the constructor or of the module."""
    built, given = case.module_error_input.constructor_input, case.module_error_input.forward_input

    try:
        settings, named = ours(built.args, []), ours(built.kwargs, [])
        construct = functools.partial(kind, *settings, **named)
        if case.error_on == ModuleErrorEnum.CONSTRUCTION_ERROR:
            return raised(construct, case.error_type)
        module = construct()
        args, kwargs = ours(given.args, []), ours(given.kwargs, [])
    except LeftOut as reason:
        return Verdict(LEFT_OUT, f"misuse: {reason}")
    except Exception as error:
        return Verdict(FAILED, f"constructing: {type(error).__name__}: {last_line(error)}")
    return raised(lambda: module(*args, **kwargs), case.error_type)
