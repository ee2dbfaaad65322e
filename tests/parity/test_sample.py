"""PyTorch's stored answers to a part of its own cases in, the engine's answers held to them out.

`make_sample.py` writes the sample; `make parity` compares everything with PyTorch itself.
"""

import json
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases.answers import answered, cotangent, near, stepped
from cases.factors import fixed
from cases.lookup import resolve
from cases.stored import Reader

import engine

DATA = Path(__file__).parent / "data"
EVERY = 6  # compiled is every sixth entry

TEXT = json.loads((DATA / "sample.json").read_text())
with np.load(DATA / "sample.npz") as numbers:
    READER = Reader(dict(numbers))
CASES: dict[str, list[dict[str, Any]]] = defaultdict(list)
for each in TEXT["cases"]:
    CASES[each.get("case") or each["module"]].append(each)


def call_of(case: dict[str, Any]) -> tuple[Any, list[Any]]:
    """What a case calls, and the parameters that are differentiated with its arguments."""
    if "case" in case:
        call = resolve(case["name"])
        assert call is not None
        return fixed(case["case"], call), []
    args, kwargs = (READER.unpack(part, []) for part in case["settings"])
    module = getattr(engine.nn, case["module"].rsplit(".", 1)[-1])(*args, **kwargs)
    state = {key: engine.tensor(READER.array(place)) for key, place in case["state"].items()}
    module.load_state_dict(state)
    module.train(case["training"])
    return module, [p for p in module.parameters() if p.requires_grad]


def check(case: dict[str, Any], compiled: bool) -> None:
    """Outputs and gradients of one case."""
    call, own = call_of(case)
    leaves: list[Any] = []
    args, kwargs = (READER.unpack(case[part], leaves) for part in ("args", "kwargs"))
    wanted = [[READER.array(place) for place in case[key]] for key in ("outputs", "gradients")]
    told = zip(wanted[0], case["differentiable"], strict=True)
    draws = [cotangent(x.shape, at) if d else None for at, (x, d) in enumerate(told)]
    leaves = [*leaves, *own] if wanted[1] else []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = (
            stepped(call, draws, own)(args, kwargs, bool(leaves))
            if compiled
            else answered(call, args, kwargs, leaves, draws)
        )
    for mine, theirs in zip(found, wanted, strict=True):
        assert len(mine) == len(theirs)
        for a, b in zip(mine, theirs, strict=True):
            assert near(a, b), f"{a}, PyTorch has {b}"


@pytest.mark.parametrize("name", sorted(CASES))
def test_eager(name: str) -> None:
    for case in CASES[name]:
        check(case, compiled=False)


COMPILED = [name for name in sorted(CASES) if CASES[name][0]["compiles"]]


@pytest.mark.parametrize("name", COMPILED[::EVERY])
def test_compiled(name: str) -> None:
    check(CASES[name][0], compiled=True)
