"""Scikit-learn's digits in, a trained LeNet, its loss curve and a sheet of predictions out.

The network is the one of PyTorch's tutorial, word for word; only the imports differ. The whole
training step is one compiled program: forward pass, loss, gradients and the optimizer's update.

    python examples/lenet.py --out lenet_out
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import engine as torch
import engine.nn as nn
import engine.nn.functional as F
from engine.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = x.view(-1, 16 * 5 * 5)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        x = self.fc3(x)
        return x


def enlarge(images: np.ndarray, size: int = 32) -> np.ndarray:
    """[n, 8, 8] to [n, 1, size, size], bilinear: one small matrix from either side."""
    old = images.shape[-1]
    at = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
    weights = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(old)))
    large = weights @ images @ weights.T
    return large[:, None].astype(np.float32)


class Shifted(TensorDataset):
    """Images and labels; every time an image is asked for, it has moved by up to three pixels."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, seed: int) -> None:
        super().__init__(images, labels)
        self.padded = np.pad(images[:, 0], ((0, 0), (3, 3), (3, 3)), constant_values=-1.0)
        self.random = np.random.default_rng(seed)

    def take(self, indices: np.ndarray) -> tuple[torch.Tensor, ...]:
        _, labels = super().take(indices)
        down, right = self.random.integers(0, 7, (2, len(indices), 1))
        rows, columns = down + np.arange(32), right + np.arange(32)
        images = self.padded[indices[:, None, None], rows[:, :, None], columns[:, None, :]]
        return torch.from_numpy(images[:, None]), labels


def digits(seed: int) -> tuple[Shifted, TensorDataset]:
    """1797 digits from -1 to 1, a fifth of every class held back for the test."""
    raw = load_digits()
    images = enlarge(raw.images / 8.0 - 1.0)
    labels = raw.target.astype(np.int64)
    x, x_test, y, y_test = train_test_split(
        images, labels, test_size=0.2, stratify=labels, random_state=0
    )
    return Shifted(x, y, seed), TensorDataset(x_test, y_test)


def train(options: argparse.Namespace, console: Console) -> tuple[Net, list[float], float]:
    """Train as the options say; returns the network, all losses and the test accuracy."""
    torch.manual_seed(options.seed)
    training, test = digits(options.seed)
    loader = DataLoader(training, options.batch_size, shuffle=True)
    net = Net()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=options.lr, momentum=0.9)

    @torch.jit
    def step(x, y):
        optimizer.zero_grad()
        outputs = net(x)
        loss = criterion(outputs, y)
        loss.backward()
        optimizer.step()
        return loss, (outputs.argmax(1) == y).sum()

    @torch.jit
    def predict(x):
        with torch.no_grad():
            return net(x).argmax(1)

    table = Table("epoch", "loss", "train acc", "test acc", "steps/s", "time", box=None)
    losses: list[float] = []
    compiling, accuracy, started = 0.0, 0.0, time.perf_counter()
    for epoch in range(1, options.epochs + 1):
        optimizer.param_groups[0]["lr"] = options.lr * (1 - (epoch - 1) / options.epochs)
        net.train()
        right, stepping = 0, 0.0
        first = len(losses)
        for x, y in loader:
            before, known = time.perf_counter(), len(step.programs)
            loss, hits = step(x, y)
            spent = time.perf_counter() - before
            losses.append(loss.item())
            right += int(hits.item())
            if len(step.programs) > known:
                compiling += spent
            else:
                stepping += spent
        net.eval()
        accuracy = evaluate(predict, test)
        speed = (len(losses) - first) / stepping if stepping else float("nan")
        table.add_row(
            str(epoch),
            f"{np.mean(losses[first:]):.4f}",
            f"{right / len(training):.2%}",
            f"{accuracy:.2%}",
            f"{speed:,.0f}",
            f"{time.perf_counter() - started:.1f} s",
        )
    console.print(table)
    console.print(f"compiling {len(step.programs)} programs for the step took {compiling:.2f} s")
    return net, losses, accuracy


def evaluate(predict: Any, test: TensorDataset) -> float:
    """The share of the test images that ``predict`` labels rightly."""
    images, labels = test.tensors
    return float((predict(images).numpy() == labels.numpy()).mean())


def draw_losses(losses: list[float], path: Path) -> None:
    """The loss of every step, and a running mean, as PNG."""
    import matplotlib.pyplot as plt  # takes half a second, and only drawing needs it

    plt.switch_backend("agg")
    figure, axes = plt.subplots(figsize=(7, 4))
    axes.plot(losses, color="0.8", label="each step")
    smooth = np.convolve(losses, np.full(20, 1 / 20), mode="valid")
    if len(losses) >= 20:
        axes.plot(np.arange(len(smooth)) + 19, smooth, label="mean of 20")
    axes.set(xlabel="step", ylabel="cross-entropy", yscale="log", title="LeNet on digits")
    axes.legend()
    figure.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(figure)


def draw_predictions(net: Net, path: Path) -> None:
    """Forty test digits with what the network says, mistakes first and in red, as PNG."""
    import matplotlib.pyplot as plt

    _, test = digits(0)
    images, labels = test.tensors
    net.eval()
    with torch.no_grad():
        said = net(images).argmax(1).numpy()
    wrong = said != labels.numpy()
    shown = np.argsort(~wrong, kind="stable")[:40]
    plt.switch_backend("agg")
    figure, axes = plt.subplots(4, 10, figsize=(10, 4.6))
    for place, at in zip(axes.flat, shown, strict=True):
        place.imshow(images.numpy()[at, 0], cmap="gray_r")
        text = f"{said[at]}, is {labels.numpy()[at]}" if wrong[at] else str(said[at])
        place.set_title(text, color="red" if wrong[at] else "black", fontsize=10)
        place.axis("off")
    figure.suptitle(f"{wrong.sum()} of {len(wrong)} test digits are read wrongly")
    figure.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(figure)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train LeNet on scikit-learn's digits.")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.03)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("lenet_out"))
    parser.add_argument("--quick", action="store_true", help="two epochs, to see that it runs")
    options = parser.parse_args(arguments)
    if options.quick:
        options.epochs = 2
    return options


def main(arguments: list[str] | None = None) -> float:
    """Train, draw, save; returns the test accuracy."""
    options, console = parse(arguments), Console()
    started = time.perf_counter()
    net, losses, accuracy = train(options, console)
    options.out.mkdir(parents=True, exist_ok=True)
    draw_losses(losses, options.out / "loss.png")
    draw_predictions(net, options.out / "predictions.png")
    torch.save(net.state_dict(), options.out / "lenet.safetensors")
    console.print(f"loss.png, predictions.png and lenet.safetensors are in {options.out}/")
    console.print(f"test accuracy {accuracy:.2%} after {time.perf_counter() - started:.1f} s")
    return accuracy


if __name__ == "__main__":
    main()
