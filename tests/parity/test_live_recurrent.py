"""PyTorch's recurrent weights in, equal outputs, states and gradients from the engine's out."""

from typing import Any

import numpy as np
import pytest

import engine
from engine import nn
from engine.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported:UserWarning"),
]
torch = pytest.importorskip("torch")

X = np.random.default_rng(0).standard_normal((7, 3, 4))
LENGTHS = [4, 7, 2]
DEEP = {"num_layers": 2, "bidirectional": True}
CASES = [
    ("RNN", {**DEEP, "nonlinearity": "relu"}),
    ("RNN", {"bias": False}),
    ("GRU", DEEP),
    ("GRU", {"batch_first": True}),
    ("LSTM", DEEP),
    ("LSTM", {**DEEP, "proj_size": 3}),
]


def pair(kind: str, options: dict[str, Any]) -> tuple[Any, Any]:
    """Both modules in float64, with PyTorch's weights."""
    torch.manual_seed(0)
    ours = getattr(nn, kind)(4, 5, **options).double()
    theirs = getattr(torch.nn, kind)(4, 5, **options).double()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({k: v.detach().numpy() for k, v in theirs.state_dict().items()})
    return ours, theirs


def told(out: Any, last: Any) -> list[Any]:
    """Outputs and last states, in one list."""
    return [out, *(last if isinstance(last, tuple) else (last,))]


def loss(parts: list[Any]) -> Any:
    """A number that depends on every part, each in its own way."""
    return sum((x * x * (at + 1)).sum() for at, x in enumerate(parts))


def equal(ours: list[Any], theirs: list[Any]) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(
            mine.detach().numpy(), other.detach().numpy(), rtol=1e-7, atol=1e-9
        )


@pytest.mark.parametrize(("packed", "compiled"), [(False, False), (False, True), (True, False)])
@pytest.mark.parametrize(("kind", "options"), CASES)
def test_outputs_and_gradients(
    kind: str, options: dict[str, Any], packed: bool, compiled: bool
) -> None:
    ours, theirs = pair(kind, options)
    first = options.get("batch_first", False)
    given = X.swapaxes(0, 1).copy() if first else X

    def step(x: Any) -> Any:
        ours.zero_grad()
        x = x.detach().requires_grad_()
        out, last = ours(pack_padded_sequence(x, LENGTHS, first, False) if packed else x)
        parts = told(pad_packed_sequence(out, first)[0] if packed else out, last)
        loss(parts).backward()
        return [*parts, x.grad, *(p.grad for p in ours.parameters())]

    x = torch.tensor(given, requires_grad=True)
    rnn = torch.nn.utils.rnn
    sequence = rnn.pack_padded_sequence(x, LENGTHS, first, False) if packed else x
    out, last = theirs(sequence)
    parts = told(rnn.pad_packed_sequence(out, first)[0] if packed else out, last)
    loss(parts).backward()
    found = (engine.jit(step) if compiled else step)(engine.tensor(given))
    equal(found, [*parts, x.grad, *(p.grad for p in theirs.parameters())])


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_cells(kind: str) -> None:
    ours, theirs = pair(f"{kind}Cell", {})
    x = X[0]
    state = np.random.default_rng(1).standard_normal((2, 3, 5))
    mine: Any = tuple(engine.tensor(s) for s in state)
    other: Any = tuple(torch.tensor(s) for s in state)
    if kind != "LSTM":
        mine, other = mine[0], other[0]
    found, wanted = ours(engine.tensor(x), mine), theirs(torch.tensor(x), other)
    pairs = (found, wanted) if kind == "LSTM" else ((found,), (wanted,))
    equal(*(list(side) for side in pairs))
    for side, module in zip(pairs, (ours, theirs), strict=True):
        module.zero_grad()
        loss(list(side)).backward()
    equal([p.grad for p in ours.parameters()], [p.grad for p in theirs.parameters()])


def test_a_first_state_is_taken() -> None:
    ours, theirs = pair("LSTM", DEEP)
    h, c = np.random.default_rng(2).standard_normal((2, 4, 3, 5))
    found = told(*ours(engine.tensor(X), (engine.tensor(h), engine.tensor(c))))
    equal(found, told(*theirs(torch.tensor(X), (torch.tensor(h), torch.tensor(c)))))
