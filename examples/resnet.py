"""Digits in, a residual network with BatchNorm that reads them better than nearest neighbours out.

Every image is turned, stretched and shifted a little before it is seen, inside the compiled step.

    python examples/resnet.py
"""

from __future__ import annotations

import numpy as np

import engine as torch
import engine.nn as nn
import engine.nn.functional as F
from engine.data import DataLoader, TensorDataset
from engine.train import draw_curves, draw_sheet, fit, need, options, positive, read

load_digits = need("sklearn.datasets").load_digits
train_test_split = need("sklearn.model_selection").train_test_split
KNeighborsClassifier = need("sklearn.neighbors").KNeighborsClassifier


class Block(nn.Module):
    """Two 3x3 convolutions and a way around them."""

    def __init__(self, narrow, wide, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(narrow, wide, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide)
        self.conv2 = nn.Conv2d(wide, wide, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(wide)
        self.around = nn.Identity()
        if stride != 1 or narrow != wide:
            around = nn.Conv2d(narrow, wide, 1, stride, bias=False)
            self.around = nn.Sequential(around, nn.BatchNorm2d(wide))

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.around(x))


class ResNet(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.blocks = nn.Sequential(
            Block(width, width, 1), Block(width, 2 * width, 2), Block(2 * width, 2 * width, 1)
        )
        self.head = nn.Linear(2 * width, 10)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


def jitter(images, angle=0.2, stretch=0.1, shift=0.15):
    """Images [n, c, h, w], each turned, stretched and shifted (by half sides) at random."""
    n = images.shape[0]
    turn, wide, high, right, down = (torch.rand(n) * 2 - 1 for _ in range(5))
    cos, sin = torch.cos(angle * turn), torch.sin(angle * turn)
    rows = [
        torch.stack([cos * (1 + stretch * wide), -sin, shift * right], 1),
        torch.stack([sin, cos * (1 + stretch * high), shift * down], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Train, compare, draw; the test accuracies of the network and of the baseline."""
    parser = options("resnet", __doc__.splitlines()[0], epochs=40, batch_size=64, lr=0.1)
    parser.add_argument("--width", type=positive, default=32, help="channels of the first blocks")
    given = read(parser, arguments, {"epochs": 2, "width": 8})
    raw = load_digits()
    x, x_test, y, y_test = train_test_split(
        (raw.images[:, None] / 8.0 - 1.0).astype(np.float32),
        raw.target.astype(np.int64),
        test_size=0.2,
        stratify=raw.target,
        random_state=0,
    )
    net = ResNet(given.width)
    optimizer = torch.optim.SGD(net.parameters(), given.lr, 0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, given.epochs)

    @torch.jit
    def step(images, labels):
        optimizer.zero_grad()
        with torch.no_grad():
            images = jitter(images)
        loss = F.cross_entropy(net(images), labels, label_smoothing=0.05)
        loss.backward()
        optimizer.step()
        return loss

    @torch.jit
    def predict(images):
        with torch.no_grad():
            return net(images).argmax(1)

    loader = DataLoader(TensorDataset(x, y), given.batch_size, shuffle=True, drop_last=True)

    def epoch(number):
        net.train()
        losses = [step(images, labels).item() for images, labels in loader]
        schedule.step()
        net.eval()
        right = predict(torch.from_numpy(x_test)).numpy() == y_test
        return {"loss": np.mean(losses), "accuracy": right.mean()}

    parts = {"net": net, "optimizer": optimizer, "schedule": schedule}
    history = fit(
        epoch,
        given.epochs,
        parts,
        checkpoint=given.checkpoint,
        resume=given.resume,
        stop_after=given.stop_after,
    )
    net.eval()
    said = predict(torch.from_numpy(x_test)).numpy()
    shown = np.argsort(said == y_test, kind="stable")[:30]
    draw_curves(history, ["loss"], given.out / "loss.png", "Residual network on digits")
    draw_sheet(
        x_test[shown, 0],
        given.out / "mistakes.png",
        f"{(said != y_test).sum()} of {len(y_test)} are read wrongly",
        [
            f"{a}, is {b}" if a != b else str(a)
            for a, b in zip(said[shown], y_test[shown], strict=True)
        ],
        list(said[shown] != y_test[shown]),
    )
    near = KNeighborsClassifier(3).fit(x.reshape(len(x), -1), y)
    baseline = float(near.score(x_test.reshape(len(x_test), -1), y_test))
    print(f"test accuracy {history[-1]['accuracy']:.2%}; nearest neighbours {baseline:.2%}")
    return {"accuracy": history[-1]["accuracy"], "baseline": baseline}


if __name__ == "__main__":
    main()
