"""A seed in, three smooth networks with their weights, batches and optimizers out.

Written once over PyTorch's names, so that one definition trains in PyTorch and in the engine. All
three are smooth, because a kink turns a rounding error into another curve; epsilons are large
enough that it matters where they stand.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

STEPS, BATCH, KEPT = 50, 32, 512
TOLERANCE = 1e-5  # of a loss, relative to PyTorch's in float64
STATE_TOLERANCE = 3e-5  # of a tensor at the end, relative to its largest entry

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Curve:
    """A network to train: ``build`` and ``optimizer`` take either library's modules."""

    name: str
    build: Callable[[Any], Any]
    optimizer: Callable[[Any, Any], Any]
    needs: tuple[str, ...] = ()  # layers of ``nn`` without which it cannot be built


@dataclass
class Run:
    """What a training run shows: its losses, and every tensor of its state at the end."""

    losses: list[float] = field(default_factory=list)
    state: dict[str, Array] = field(default_factory=dict)

    def distance(self, wanted: Run) -> tuple[float, dict[str, float]]:
        """The largest relative error of a loss, and that of each tensor of the state."""
        losses = np.array(wanted.losses)
        assert set(self.state) == set(wanted.state)
        state = {
            name: float(abs(self.state[name] - value).max() / max(abs(value).max(), 1e-30))
            for name, value in wanted.state.items()
        }
        return float((abs(np.array(self.losses) - losses) / abs(losses)).max()), state


def transformer(nn: Any) -> Any:
    """Two encoder layers (GELU, LayerNorm) over the rows of a digit."""

    class Reader(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Linear(8, 16)
            layer = nn.TransformerEncoderLayer(
                16, 2, 32, 0.0, "gelu", layer_norm_eps=1e-3, batch_first=True
            )
            self.encoder = nn.TransformerEncoder(layer, 2)
            self.head = nn.Linear(16, 10)

        def forward(self, x: Any) -> Any:
            return self.head(self.encoder(self.embed(x)).mean(1))

    return Reader()


def residual(nn: Any) -> Any:
    """A stem and two residual blocks of convolution, BatchNorm and SiLU."""

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(8, 8, 3, padding=1, bias=False)
            self.norm1 = nn.BatchNorm2d(8, eps=1e-3)
            self.conv2 = nn.Conv2d(8, 8, 3, padding=1, bias=False)
            self.norm2 = nn.BatchNorm2d(8, eps=1e-3)
            self.act = nn.SiLU()

        def forward(self, x: Any) -> Any:
            inner = self.act(self.norm1(self.conv1(x)))
            return self.act(x + self.norm2(self.conv2(inner)))

    class Net(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(1, 8, 3, padding=1, bias=False)
            self.norm = nn.BatchNorm2d(8, eps=1e-3)
            self.act = nn.SiLU()
            self.blocks = nn.Sequential(Block(), Block())
            self.head = nn.Linear(8, 10)

        def forward(self, x: Any) -> Any:
            x = self.act(self.norm(self.stem(x.unsqueeze(1))))
            return self.head(self.blocks(x).mean((2, 3)))

    return Net()


def recurrent(nn: Any) -> Any:
    """Two LSTM layers over the rows of a digit, the last state read by a linear layer."""

    class Reader(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(8, 16, 2, batch_first=True)
            self.head = nn.Linear(16, 10)

        def forward(self, x: Any) -> Any:
            return self.head(self.lstm(x)[0][:, -1])

    return Reader()


CURVES = {
    curve.name: curve
    for curve in (
        Curve(
            "transformer",
            transformer,
            lambda optim, p: optim.AdamW(p, lr=2e-3, eps=1e-5, weight_decay=0.1),
        ),
        Curve(
            "residual",
            residual,
            lambda optim, p: optim.SGD(p, lr=0.02, momentum=0.9, weight_decay=1e-3),
        ),
        Curve(
            "lstm",
            recurrent,
            lambda optim, p: optim.Adam(p, lr=5e-3, eps=1e-5),
            needs=("LSTM",),
        ),
    )
}


def weights(model: Any) -> dict[str, Array]:
    """Every parameter by its name's own seed: within 1/sqrt(fan_in), or around 1 for a norm's."""
    found = {}
    for name, param in model.named_parameters():
        shape = tuple(param.shape)
        drawn = np.random.default_rng(zlib.crc32(name.encode())).uniform(-1, 1, shape)
        if len(shape) > 1:
            drawn /= np.sqrt(np.prod(shape[1:]))
        elif "norm" in name and name.endswith("weight"):
            drawn = 1 + 0.2 * drawn
        else:
            drawn *= 0.2
        found[name] = drawn.astype(np.float32)
    return found


def batches() -> list[tuple[Array, Array]]:
    """Digits of 8 rows of 8 in a seeded order, one batch a step."""
    raw, rng = load_digits(), np.random.default_rng(5)
    images = (raw.images / 8.0 - 1.0).astype(np.float32)
    labels = raw.target.astype(np.int64)
    rows = rng.integers(0, len(images), (STEPS, BATCH))
    return [(images[at], labels[at]) for at in rows]


def train(
    model: Any,
    opt: Any,
    array: Callable[[Array], Any],
    loss_of: Callable[[Any, Any], Any],
    prepared: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda step: step,
) -> Run:
    """``STEPS`` steps from the seeded weights: losses, and parameters, statistics and slots."""

    def step(x: Any, y: Any) -> Any:
        opt.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        opt.step()
        return loss

    run, done = prepared(step), Run()
    for x, y in batches():
        done.losses.append(run(array(x), array(y)).item())
    values = dict(model.state_dict())
    names = [name for name, _ in model.named_parameters()]
    for at, slots in opt.state_dict()["state"].items():
        values |= {f"{names[at]}.{slot}": value for slot, value in slots.items()}
    done.state = {name: sample(value.numpy()) for name, value in values.items()}
    return done


def sample(value: Array) -> Array:
    """All of a small tensor, a seeded choice of a large one's entries, as float64."""
    flat = value.ravel().astype(np.float64)
    if flat.size <= KEPT:
        return flat
    return flat[np.random.default_rng(flat.size).choice(flat.size, KEPT, replace=False)]


def reference(torch: Any, curve: Curve) -> Run:
    """What PyTorch computes in float64 (the batches and weights are float32 numbers)."""
    model = curve.build(torch.nn).double()
    start = {name: torch.tensor(array) for name, array in weights(model).items()}
    model.load_state_dict(start, strict=False)

    def array(x: Array) -> Any:
        return torch.tensor(x, dtype=torch.float64 if x.dtype == np.float32 else torch.int64)

    opt = curve.optimizer(torch.optim, model.parameters())
    return train(model, opt, array, torch.nn.functional.cross_entropy)
