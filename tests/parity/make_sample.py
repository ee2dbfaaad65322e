"""PyTorch's databases in, a small stored part of them out, for the tests that run without PyTorch.

    python tests/parity/make_sample.py

Of every entry: two float32 cases with gradients and one of whole numbers, where there are any that
agree (`data/known.json` lists what does not), the smallest that are not empty. Written are
`data/sample.npz`, one array of numbers for each dtype, and `data/sample.json`, which says what the
numbers are, and which entries have no case and why.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.append(str(Path(__file__).parents[2]))
from cases import modules, ops
from cases.answers import answered, near
from cases.compare import asked
from cases.lookup import resolve
from cases.names import RANDOM, UNDEFINED, full_name, is_public, left_out, mine, present
from cases.stored import Unstorable, Writer
from cases.values import LeftOut, array, fresh, ours
from cases.verdicts import PASSED
from torch.testing._internal.common_methods_invocations import op_db

DATA = Path(__file__).parent / "data"
LARGEST = 600
WANTED = {torch.float32: 2, torch.int64: 1}
Stored = dict[str, Any]


def function_cases(info: Any, writer: Writer) -> Iterator[Stored]:
    """The stored cases of one function."""
    own, call = ops.sides(info)
    for dtype, count in WANTED.items():
        if dtype not in info.supported_dtypes("cpu"):
            continue
        drawn = [case for case in ops.chosen(info, dtype, 24) if size(case) <= LARGEST]
        drawn.sort(key=lambda case: (size(case) < 2, size(case)))
        found = 0
        for args, kwargs in drawn:
            if found == count:
                break
            if ops.judged(info, args, kwargs).status != PASSED:
                continue
            case = stored(call, args, kwargs, writer, mine=own)
            if case is not None:
                found += 1
                compiles = ops.judged(info, args, kwargs, compiled=True).status == PASSED
                yield {"name": info.name, "case": full_name(info), "compiles": compiles, **case}


def size(case: Any) -> int:
    """The number of elements among the arguments."""
    found = ops.tensors(list(case), torch.Tensor)
    return sum(x.numel() for x in found if isinstance(x, torch.Tensor))


def stored(
    call: Any, args: Any, kwargs: Any, writer: Writer, their: Any = (), mine: Any = None
) -> dict[str, Any] | None:
    """One case with what PyTorch answers; None where it is too large, or only
    as near to PyTorch's float64 as PyTorch's float32 is."""
    args, kwargs = fresh(args), fresh(kwargs)
    given = [ours(args, []), ours(kwargs, [])]
    (outputs, grads), draws = asked(call, args, kwargs, None, their)
    arrays = [[array(x) for x in side] for side in (outputs, grads)]
    if sum(a.size for side in arrays for a in side) > 2 * LARGEST:
        return None
    if mine is not None:
        leaves: list[Any] = []
        asked_of = ours(args, leaves), ours(kwargs, leaves)
        found = answered(mine, *asked_of, leaves if grads else [], draws)
        pairs = zip([x for s in found for x in s], [x for s in arrays for x in s], strict=True)
        if not all(near(a, b) for a, b in pairs):
            return None
    if any(a.dtype.kind not in "fiub" for side in arrays for a in side):
        raise Unstorable("a result is no number")
    return {
        "args": writer.pack(given[0]),
        "kwargs": writer.pack(given[1]),
        "outputs": [writer.array(a) for a in arrays[0]],
        "gradients": [writer.array(a) for a in arrays[1]],
        "differentiable": [w is not None for w in draws],
    }


def module_cases(info: Any, writer: Writer) -> Iterator[Stored]:
    """The stored cases of one module: its settings, state and inputs."""
    found = 0
    for case, training in modules.cases(info, torch.float32, 12):
        if found == WANTED[torch.float32]:
            return
        built, given = case.constructor_input, case.forward_input
        if modules.verdict(info, case, torch.float32, training).status != PASSED:
            continue
        theirs = info.module_cls(*built.args, **built.kwargs).float().train(training)
        state = {key: value.detach().numpy().copy() for key, value in theirs.state_dict().items()}
        if sum(value.size for value in state.values()) > 2 * LARGEST:
            continue
        settings = [writer.pack(ours(x, [])) for x in (tuple(built.args), dict(built.kwargs))]
        params = [p for p in theirs.parameters() if p.requires_grad]
        told = stored(theirs, tuple(given.args), dict(given.kwargs), writer, params)
        if told is not None:
            found += 1
            places = {key: writer.array(value) for key, value in state.items()}
            compiled = modules.verdict(info, case, torch.float32, training, compiled=True)
            head = {"module": info.name, "settings": settings, "training": training}
            head["compiles"] = compiled.status == PASSED
            yield {**head, "state": places, **told}


def reason(info: Any) -> str:
    """Why a function has no place in the sample, or ""."""
    if left_out(info.name):
        return left_out(info.name)
    if info.name in RANDOM or info.name in UNDEFINED:
        return "its values are random or not defined"
    if not is_public(info.op) or resolve(info.name) is not mine(info):
        return "the database calls it through a function of its own"
    return ""


def main() -> None:
    """Write the sample."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    writer, cases, missing = Writer(), [], {}
    functions = [(full_name(i), function_cases, i, reason(i)) for i in op_db if present(i)]
    layers = [(i.name, module_cases, i, "") for i in modules.entries() if not i.is_lazy]
    for name, make, info, why in sorted([*functions, *layers], key=lambda row: row[0]):
        found: list[Stored] = []
        try:
            found = [] if why else list(make(info, writer))
        except (LeftOut, Unstorable, StopIteration) as error:
            why = str(error) or "the database has no case"
        cases += found
        if not found:
            missing[name] = why or "no small case agrees"
    text = {"torch": torch.__version__, "cases": cases, "missing": missing}
    (DATA / "sample.json").write_text(json.dumps(text, separators=(",", ":")) + "\n")
    np.savez_compressed(DATA / "sample.npz", **writer.arrays())
    print(f"{len(cases)} cases, {len(missing)} entries without")


if __name__ == "__main__":
    main()
