"""Turned digits in, one network that tells digit, parity and angle at once out.

One trunk and three heads are trained on the sum of three losses, and held against three networks
of the same size that learn one task each, in as many steps altogether as the one takes.

    python examples/multitask.py
"""

from __future__ import annotations

import math
import time

import numpy as np

import engine as torch
import engine.nn as nn
import engine.nn.functional as F
from engine.data import DataLoader, TensorDataset
from engine.train import draw_curves, draw_sheet, fit, need, options, positive, read

load_digits = need("sklearn.datasets").load_digits
train_test_split = need("sklearn.model_selection").train_test_split

MOST = 60.0  # degrees that a digit is turned by, either way
WEIGHTS = {"digit": 1.0, "parity": 0.5, "angle": 20.0}


class Net(nn.Module):
    """A convolutional trunk, and a head for each task."""

    def __init__(self, tasks, width):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(2 * width * 16, 4 * width),
            nn.ReLU(),
        )
        sizes = {"digit": 10, "parity": 2, "angle": 1}
        self.heads = nn.ModuleDict({task: nn.Linear(4 * width, sizes[task]) for task in tasks})

    def forward(self, x):
        shared = self.trunk(x)
        return {task: head(shared) for task, head in self.heads.items()}


def turned(images, angles):
    """Images [n, 1, h, w], each turned by its angle (a share of ``MOST``)."""
    turn = angles * math.radians(MOST)
    cos, sin, zero = torch.cos(turn), torch.sin(turn), torch.zeros_like(turn)
    theta = torch.stack([torch.stack([cos, -sin, zero], 1), torch.stack([sin, cos, zero], 1)], 1)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def losses_of(outputs, digits, angles):
    """The weighted loss of every task that there is a head for."""
    found = {}
    if "digit" in outputs:
        found["digit"] = F.cross_entropy(outputs["digit"], digits)
    if "parity" in outputs:
        found["parity"] = F.cross_entropy(outputs["parity"], digits % 2)
    if "angle" in outputs:
        found["angle"] = F.mse_loss(outputs["angle"][:, 0], angles)
    return {task: WEIGHTS[task] * loss for task, loss in found.items()}


def train(tasks, data, given, name, epochs):
    """Train on ``tasks``; returns figures of the test set, the history, and the seconds it took."""
    x, x_test, y, y_test = data
    torch.manual_seed(given.seed)
    net = Net(tasks, given.width)
    optimizer = torch.optim.AdamW(net.parameters(), lr=given.lr, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)

    @torch.jit
    def step(images, digits):
        optimizer.zero_grad()
        with torch.no_grad():
            angles = torch.rand(images.shape[0]) * 2 - 1
            images = turned(images, angles)
        loss = sum(losses_of(net(images), digits, angles).values())
        loss.backward()
        optimizer.step()
        return loss

    @torch.jit
    def predict(images, angles):
        with torch.no_grad():
            return net(turned(images, angles))

    fixed = np.random.default_rng(0).uniform(-1, 1, len(x_test)).astype(np.float32)

    def figures():
        net.eval()
        outputs = predict(torch.from_numpy(x_test), torch.from_numpy(fixed))
        found = {task: value.numpy() for task, value in outputs.items()}
        told = {}
        if "digit" in found:
            told["digit"] = (found["digit"].argmax(1) == y_test).mean()
        if "parity" in found:
            told["parity"] = (found["parity"].argmax(1) == y_test % 2).mean()
        if "angle" in found:
            told["degrees"] = MOST * np.abs(found["angle"][:, 0] - fixed).mean()
        return told

    loader = DataLoader(TensorDataset(x, y), given.batch_size, shuffle=True, drop_last=True)

    def epoch(number):
        net.train()
        loss = np.mean([step(images, digits).item() for images, digits in loader])
        schedule.step()
        return {"loss": loss, **figures()}

    print(f"{name}: {', '.join(tasks)}; {sum(p.numel() for p in net.parameters()):,} parameters")
    path = given.out / f"{name}.safetensors" if name != "together" else given.checkpoint
    started = time.perf_counter()
    history = fit(
        epoch,
        epochs,
        {"net": net, "optimizer": optimizer, "schedule": schedule},
        checkpoint=path,
        resume=given.resume and path.exists(),
        stop_after=given.stop_after,
    )
    return figures(), history, time.perf_counter() - started


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Train together and alone, compare, draw; the test figures of both."""
    parser = options("multitask", __doc__.splitlines()[0], epochs=100, batch_size=64, lr=2e-3)
    parser.add_argument(
        "--width", type=positive, default=24, help="channels of the first convolution"
    )
    given = read(parser, arguments, {"epochs": 2, "width": 8})
    raw = load_digits()
    images = torch.from_numpy((raw.images[:, None] / 8.0 - 1.0).astype(np.float32))
    large = F.interpolate(images, size=(16, 16), mode="bilinear", align_corners=False).numpy()
    data = train_test_split(
        large, raw.target.astype(np.int64), test_size=0.2, stratify=raw.target, random_state=0
    )
    both, history, spent = train(tuple(WEIGHTS), data, given, "together", given.epochs)
    alone: dict[str, float] = {}
    spent_alone = 0.0
    for task in WEIGHTS:
        share = max(1, given.epochs // len(WEIGHTS))
        found, _, seconds = train((task,), data, given, f"alone-{task}", share)
        alone |= found
        spent_alone += seconds
    draw_curves(history, ["loss"], given.out / "loss.png", "Three tasks, one trunk")
    angles = np.random.default_rng(1).uniform(-1, 1, 20).astype(np.float32)
    shown = turned(torch.from_numpy(data[1][:20]), torch.from_numpy(angles)).numpy()
    words = [f"{digit}, {MOST * a:.0f}°" for digit, a in zip(data[3], angles, strict=False)]
    draw_sheet(shown[:, 0], given.out / "turned.png", "What the network sees", words)
    print(f"{'':10}{'together':>10}{'alone':>10}")
    for name in both:
        form = ".2f" if name == "degrees" else ".2%"
        print(f"{name:10}{format(both[name], form):>10}{format(alone[name], form):>10}")
    print(f"{'seconds':10}{spent:>10.1f}{spent_alone:>10.1f}")
    return {**both, **{f"{name} alone": value for name, value in alone.items()}}


if __name__ == "__main__":
    main()
