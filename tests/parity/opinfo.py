"""PyTorch's OpInfo database in, a verdict for every case that we can spell out.

    python tests/parity/opinfo.py        # a line for each function, and the sum

Whoever wrote a function does not choose its cases: they are PyTorch's own. A function takes part
as soon as `engine` has its name, so nothing here lists what is covered; only what cannot be
compared is listed, with the reason.
"""

from __future__ import annotations

import itertools
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.testing._internal.common_methods_invocations import op_db

import engine

CASES = 12
TOLERANCE = {np.dtype("f4"): (1e-4, 2e-5), np.dtype("f8"): (1e-7, 1e-9)}
DTYPES = {
    torch.float32: engine.float32,
    torch.float64: engine.float64,
    torch.int8: engine.int8,
    torch.int16: engine.int16,
    torch.int32: engine.int32,
    torch.int64: engine.int64,
    torch.uint8: engine.uint8,
    torch.bool: engine.bool,
}
RANDOM = "its values are random"
UNCOMPARABLE = {
    "empty": "its values are not defined",
    "empty_like": "its values are not defined",
    **dict.fromkeys(
        (
            *("bernoulli", "multinomial", "normal", "rand", "rand_like", "randint", "randint_like"),
            *("randn", "randn_like", "randperm", "nn.functional.dropout"),
            *("nn.functional.dropout2d", "nn.functional.dropout3d"),
            *("nn.functional.alpha_dropout"),
            *("nn.functional.feature_alpha_dropout", "nn.functional.rrelu"),
            "nn.functional.gumbel_softmax",
        ),
        RANDOM,
    ),
}


class LeftOut(Exception):
    """A case that no engine call can spell; the text says why."""


@dataclass(frozen=True)
class Verdict:
    """What became of one case: "passed", "failed" or "left out"."""

    status: str
    reason: str = ""


def resolve(name: str) -> Callable[..., Any] | None:
    """The engine's function of that (dotted) name, if there is one."""
    found: Any = engine
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if callable(found) and not isinstance(found, type) else None


def full_name(info: Any) -> str:
    """The name with PyTorch's variant, such as ``div.floor_rounding``."""
    return f"{info.name}.{info.variant_test_name}" if info.variant_test_name else info.name


def entries() -> list[Any]:
    """The database's entries for functions that the engine has."""
    return [info for info in op_db if resolve(info.name) is not None]


def ours(value: Any, leaves: list[engine.Tensor]) -> Any:
    """A sample's argument in the engine's terms; tensors to differentiate are added to leaves."""
    if isinstance(value, torch.Tensor):
        if value.dtype not in DTYPES:
            raise LeftOut(f"{value.dtype} is not offered")
        tensor = engine.from_numpy(value.detach().clone().numpy())
        if value.requires_grad:
            tensor.requires_grad = True
            leaves.append(tensor)
        return tensor
    if isinstance(value, torch.dtype):
        if value not in DTYPES:
            raise LeftOut(f"{value} is not offered")
        return DTYPES[value]
    if isinstance(value, torch.device):
        return str(value)
    if isinstance(value, torch.layout | torch.memory_format | torch.Generator | complex):
        raise LeftOut(f"{type(value).__name__} arguments are not offered")
    if isinstance(value, dict):
        return {key: ours(item, leaves) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(ours(item, leaves) for item in value)
    return value


def tensors(value: Any, kind: type) -> list[Any]:
    """Every tensor of a nested result, in order; numbers count, None does not."""
    if isinstance(value, kind):
        return [value]
    if isinstance(value, tuple | list):
        return [leaf for item in value for leaf in tensors(item, kind)]
    return [] if value is None else [value]


def differentiable(value: Any) -> list[torch.Tensor]:
    """PyTorch's leaves, in the order in which ``ours`` meets them."""
    if isinstance(value, dict):
        return differentiable(list(value.values()))
    if isinstance(value, tuple | list):
        return [leaf for item in value for leaf in differentiable(item)]
    return [value] if isinstance(value, torch.Tensor) and value.requires_grad else []


def array(value: Any) -> np.ndarray[Any, Any]:
    """A tensor of either side, or a number, as NumPy's."""
    return np.asarray(value.detach().numpy() if hasattr(value, "detach") else value)


def difference(found: Any, wanted: Any, what: str) -> str:
    """How two values differ in type, shape or numbers; "" where they agree."""
    a, b = array(found), array(wanted)
    if a.dtype != b.dtype:
        return f"{what}: dtype {a.dtype}, PyTorch has {b.dtype}"
    if a.shape != b.shape:
        return f"{what}: shape {a.shape}, PyTorch has {b.shape}"
    rtol, atol = TOLERANCE.get(b.dtype, (0.0, 0.0))
    scale = np.abs(b[np.isfinite(b)]).max(initial=1.0) if b.dtype.kind == "f" else 1.0
    same = np.isclose(a, b, rtol=rtol, atol=atol * scale, equal_nan=True)
    if same.all():
        return ""
    at = tuple(int(i) for i in np.argwhere(~same)[0])
    return f"{what}: {a[at]} at {list(at)}, PyTorch has {b[at]}"


def first_difference(found: list[Any], wanted: list[Any], what: str) -> str:
    """The first pair that differs, or a difference in number."""
    if len(found) != len(wanted):
        return f"{what}: {len(found)} of them, PyTorch has {len(wanted)}"
    pairs = zip(found, wanted, strict=True)
    told = (difference(a, b, f"{what} {at}") for at, (a, b) in enumerate(pairs))
    return next(filter(None, told), "")


def weights(outputs: list[Any]) -> list[np.ndarray[Any, Any] | None]:
    """A cotangent for each PyTorch output that carries a gradient."""
    draw = np.random.default_rng(1).standard_normal
    return [
        draw(tuple(x.shape)).astype(array(x).dtype) if getattr(x, "requires_grad", False) else None
        for x in outputs
    ]


def weighted(outputs: list[Any], cotangents: list[Any], tensor: Callable[..., Any]) -> Any:
    """The sum of outputs times cotangents, to differentiate."""
    pairs = zip(outputs, cotangents, strict=True)
    return sum((x * tensor(w)).sum() for x, w in pairs if w is not None)


def compare(
    mine: Callable[..., Any],
    theirs: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    compiled: bool = False,
) -> Verdict:
    """One case: values and gradients of ``mine`` against those of ``theirs``."""
    leaves: list[engine.Tensor] = []
    try:
        my_args, my_kwargs = ours(args, leaves), ours(kwargs, leaves)
    except (LeftOut, TypeError) as reason:
        return Verdict("left out", str(reason))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        wanted = tensors(theirs(*args, **kwargs), torch.Tensor)
        cotangents = weights(wanted)
        told = ""
        try:
            call = engine.jit(mine) if compiled else mine
            found = tensors(call(*my_args, **my_kwargs), engine.Tensor)
            told = first_difference(found, wanted, "output")
            live = any(w is not None for w in cotangents)
            if not told and live and leaves and not compiled:
                weighted(found, cotangents, engine.tensor).backward()
                told = gradients(leaves, [*args, kwargs], wanted, cotangents)
        except engine.Unsupported as error:
            return Verdict("left out", last_line(error))
        except Exception as error:
            return Verdict("failed", f"{type(error).__name__}: {last_line(error)}")
    return Verdict("failed", told) if told else Verdict("passed")


def gradients(
    leaves: list[engine.Tensor], given: list[Any], wanted: list[Any], cotangents: list[Any]
) -> str:
    """How the leaves' gradients differ from PyTorch's."""
    theirs = differentiable(given)
    grads = torch.autograd.grad(
        weighted(wanted, cotangents, torch.tensor), theirs, allow_unused=True
    )
    zeros = [torch.zeros_like(x) if g is None else g for g, x in zip(grads, theirs, strict=True)]
    mine = [engine.zeros_like(x) if x.grad is None else x.grad for x in leaves]
    return first_difference(mine, zeros, "gradient")


def last_line(error: BaseException) -> str:
    """The line of an error that says what is wrong, short."""
    lines = [line for line in str(error).splitlines() if not line.startswith("hint")]
    return (lines[-1] if lines else "")[:160]


def cases(info: Any, dtype: torch.dtype, limit: int = CASES) -> Iterator[Verdict]:
    """A verdict for each of the first ``limit`` samples."""
    if dtype not in info.supported_dtypes("cpu"):
        return
    differentiated = info.supports_autograd and dtype.is_floating_point
    function = resolve(info.name)
    assert function is not None
    torch.manual_seed(0)
    samples = info.sample_inputs("cpu", dtype, requires_grad=differentiated)
    for sample in itertools.islice(samples, limit):
        yield compare(function, info.op, (sample.input, *sample.args), sample.kwargs)


def compiled_cases(info: Any, limit: int = 1) -> Iterator[Verdict]:
    """The first samples in float32 (else int64), as a compiled step."""
    dtypes = info.supported_dtypes("cpu")
    dtype = torch.float32 if torch.float32 in dtypes else torch.int64
    function = resolve(info.name)
    assert function is not None
    torch.manual_seed(0)
    samples = info.sample_inputs("cpu", dtype, requires_grad=False)
    for sample in itertools.islice(samples, limit):
        yield compare(function, info.op, (sample.input, *sample.args), sample.kwargs, True)


def error_cases(info: Any, limit: int = CASES) -> Iterator[Verdict]:
    """Whether PyTorch's error inputs raise the same kind (ours are RuntimeErrors too)."""
    if info.error_inputs_func is None:
        return
    function = resolve(info.name)
    assert function is not None
    for case in itertools.islice(info.error_inputs("cpu"), limit):
        sample = case.sample_input
        try:
            args = ours((sample.input, *sample.args), [])
            kwargs = ours(sample.kwargs, [])
        except (LeftOut, TypeError) as reason:
            yield Verdict("left out", str(reason))
            continue
        yield raised(function, args, kwargs, case.error_type)


def raised(
    function: Callable[..., Any], args: Any, kwargs: Any, wanted: type[BaseException]
) -> Verdict:
    """The verdict on one call that has to raise ``wanted``."""
    try:
        function(*args, **kwargs)
    except (wanted, engine.EngineError):
        return Verdict("passed")
    except Exception as error:
        found = type(error).__name__
        return Verdict("failed", f"raised {found}, PyTorch {wanted.__name__}: {last_line(error)}")
    return Verdict("failed", f"raised nothing, PyTorch {wanted.__name__}")


def main() -> None:
    """Print, for every entry of the database that the engine has, how its cases fared."""
    total: Counter[str] = Counter()
    for info in entries():
        if info.name in UNCOMPARABLE:
            print(f"{full_name(info):40} left out: {UNCOMPARABLE[info.name]}")
            continue
        verdicts = list(cases(info, torch.float32, CASES))
        counts = Counter(verdict.status for verdict in verdicts)
        total += counts
        reason = next((v.reason for v in verdicts if v.status == "failed"), "")
        print(f"{full_name(info):40} {dict(counts)} {reason[:80]}")
    print(f"float32, forward and gradient: {dict(total)}")


if __name__ == "__main__":
    main()
