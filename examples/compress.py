"""A large network that reads digits in, small ones that read nearly as well out.

Three ways to a small network from a large one: whole channels that weigh little are cut out and the
rest is trained on (pruning), every weight becomes one of 255 steps (8 bits), and a small network
learns what the large one answers (distillation). The first two are held against the same small
network, trained alone for as long. Distillation is shown where it is of use: with a hundred labels,
a small network learns more from the large one's answers to all other pictures than from the labels.

    python examples/compress.py
"""

from __future__ import annotations

import time

import numpy as np

import engine as torch
import engine.nn as nn
import engine.nn.functional as F
from engine.data import DataLoader, TensorDataset
from engine.train import fit, need, options, positive, read

load_digits = need("sklearn.datasets").load_digits
train_test_split = need("sklearn.model_selection").train_test_split

WARMTH = 4.0  # softens the answers that the small network learns from
FEW = 100  # labels, for distillation


# The network, and the same with weights of 8 bits.


class Net(nn.Module):
    """Two convolutions and two linear layers; ``sizes`` are the channels and units between them."""

    def __init__(self, sizes):
        super().__init__()
        self.sizes = list(sizes)
        self.conv1 = nn.Conv2d(1, sizes[0], 3, padding=1)
        self.conv2 = nn.Conv2d(sizes[0], sizes[1], 3, padding=1)
        self.fc1 = nn.Linear(sizes[1] * 16, sizes[2])
        self.fc2 = nn.Linear(sizes[2], 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


class Quantised(nn.Module):
    """``net`` with weights of 8 bits, one scale for every output, multiplied back in the step."""

    def __init__(self, net):
        super().__init__()
        for name, param in net.named_parameters():
            key, value = name.replace(".", "_"), param.detach()
            if value.dim() > 1:
                flat = torch.abs(value.flatten(1))
                scale = flat.max(1).values.clamp(min=1e-8) / 127
                scale = scale.reshape(-1, *[1] * (value.dim() - 1))
                self.register_buffer(f"{key}_scale", scale)
                value = torch.round(value / scale).to(torch.int8)
            self.register_buffer(key, value)

    def weight(self, name):
        return getattr(self, name).float() * getattr(self, f"{name}_scale")

    def forward(self, x):
        x = F.relu(F.conv2d(x, self.weight("conv1_weight"), self.conv1_bias, padding=1))
        x = F.relu(F.conv2d(x, self.weight("conv2_weight"), self.conv2_bias, padding=1))
        x = F.max_pool2d(x, 2).flatten(1)
        x = F.relu(F.linear(x, self.weight("fc1_weight"), self.fc1_bias))
        return F.linear(x, self.weight("fc2_weight"), self.fc2_bias)


# Smaller networks, and how they are trained.


def pruned(net, sizes):
    """A network of ``sizes`` whose channels and units are those of ``net`` that weigh most."""
    state = {name: value.numpy() for name, value in net.state_dict().items()}
    small = Net(sizes)
    kept = None  # of the layer before
    for layer, size in zip(("conv1", "conv2", "fc1", "fc2"), (*sizes, 10), strict=True):
        weight, bias = state[f"{layer}.weight"], state[f"{layer}.bias"]
        if layer == "fc1":  # every channel of conv2 has sixteen places
            kept = (16 * kept[:, None] + np.arange(16)).ravel()
        weight = weight if kept is None else weight[:, kept]
        weighs = np.abs(weight).reshape(len(weight), -1).sum(1)
        kept = np.sort(np.argsort(-weighs, kind="stable")[:size])
        state[f"{layer}.weight"], state[f"{layer}.bias"] = weight[kept], bias[kept]
    small.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return small


def shifted(images):
    """Images [n, 1, 8, 8], each moved by up to a pixel, as if scanned once more."""
    n = images.shape[0]
    move = (torch.rand(n, 2) * 2 - 1) / 4
    one, zero = torch.ones(n), torch.zeros(n)
    rows = [torch.stack([one, zero, move[:, 0]], 1), torch.stack([zero, one, move[:, 1]], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), [n, 1, 8, 8], align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def train(net, data, given, name, teacher=None):
    """``net``, trained on the labels, or on what ``teacher`` answers where there is one."""
    torch.manual_seed(given.seed)
    x, x_test, y, y_test = data
    optimizer = torch.optim.AdamW(net.parameters(), lr=given.lr, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, given.epochs)

    @torch.jit
    def step(images, labels):
        optimizer.zero_grad()
        with torch.no_grad():
            images = shifted(images)
        scores = net(images)
        if teacher is None:
            loss = F.cross_entropy(scores, labels)
        else:
            with torch.no_grad():
                answers = F.softmax(teacher(images) / WARMTH, 1)
            said = F.log_softmax(scores / WARMTH, 1)
            loss = WARMTH**2 * F.kl_div(said, answers, reduction="batchmean")
        loss.backward()
        optimizer.step()
        return loss

    predict = answering(net)
    loader = DataLoader(TensorDataset(x, y), given.batch_size, shuffle=True, drop_last=True)

    def epoch(number):
        loss = np.mean([step(images, labels).item() for images, labels in loader])
        schedule.step()
        return {"loss": loss, "accuracy": accuracy(predict, x_test, y_test)}

    print(f"{name}: {sum(p.numel() for p in net.parameters()):,} parameters")
    path = given.checkpoint if name == "large" else given.out / f"{file_of(name)}-run.safetensors"
    fit(
        epoch,
        given.epochs,
        {"net": net, "optimizer": optimizer, "schedule": schedule},
        checkpoint=path,
        resume=given.resume and path.exists(),
        stop_after=given.stop_after,
    )
    return net


def file_of(name):
    return name.replace(", ", "-").replace(" ", "-")


def labelled(data, seed):
    """``data`` with FEW labels, as many of each digit, repeated so that an epoch is as long."""
    x, x_test, y, y_test = data
    random = np.random.default_rng(seed)
    parts = [random.permutation(np.flatnonzero(y == k))[: FEW // 10] for k in range(10)]
    chosen = np.tile(np.concatenate(parts), len(x) // FEW)
    return x[chosen], x_test, y[chosen], y_test


# What is compared.


def answering(net):
    """The compiled forward pass."""

    @torch.jit
    def predict(images):
        with torch.no_grad():
            return net(images).argmax(1)

    return predict


def accuracy(predict, x, y):
    return float((predict(torch.from_numpy(x)).numpy() == y).mean())


def measured(net, name, data, folder, calls):
    """Parameters, bytes of the file, milliseconds for 1 and 64 images (medians), test accuracy."""
    _, x_test, _, y_test = data
    state, path = net.state_dict(), folder / f"{file_of(name)}.safetensors"
    torch.save(state, path)
    weights = sum(value.numel() for name, value in state.items() if not name.endswith("_scale"))
    predict = answering(net)
    spent = []
    for batch in (1, 64):
        images = torch.from_numpy(x_test[:batch])
        times = []
        for _ in range(calls):
            started = time.perf_counter()
            predict(images)
            times.append(time.perf_counter() - started)
        spent.append(1e3 * float(np.median(times)))
    return weights, path.stat().st_size, *spent, accuracy(predict, x_test, y_test)


def draw_sizes(rows, path):
    """Accuracy against the size of the file, a point for every network."""
    plt = need("matplotlib.pyplot")
    plt.switch_backend("agg")
    figure, axes = plt.subplots(figsize=(7, 4))
    for name, row in rows.items():
        axes.plot(row[1] / 1024, row[4], "o")
        side = "right" if name.startswith("large") or name.endswith("bits") else "left"
        away = {"xytext": (-8 if side == "right" else 8, -3), "textcoords": "offset points"}
        axes.annotate(name, (row[1] / 1024, row[4]), ha=side, **away)
    axes.set(xlabel="KiB of the file", ylabel="test accuracy", xscale="log")
    axes.margins(0.35, 0.1)
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Train, compress, compare, draw; the accuracy of each network."""
    parser = options("compress", __doc__.splitlines()[0], epochs=40, batch_size=64, lr=2e-3)
    parser.add_argument("--width", type=positive, default=64, help="channels of the large network")
    given = read(parser, arguments, {"epochs": 2, "width": 16})
    raw = load_digits()
    data = train_test_split(
        (raw.images[:, None] / 8.0 - 1.0).astype(np.float32),
        raw.target.astype(np.int64),
        test_size=0.2,
        stratify=raw.target,
        random_state=0,
    )
    few = labelled(data, given.seed)
    wide = (given.width, 2 * given.width, 4 * given.width)
    narrow = tuple(max(2, size // 8) for size in wide)
    nets = {"large": train(Net(wide), data, given, "large")}
    if given.stop_after is not None and given.stop_after < given.epochs:
        print("stopped: the small networks need the large one; --resume goes on")
        return {}
    nets["large, 8 bits"] = Quantised(nets["large"])
    nets["pruned"] = train(pruned(nets["large"], narrow), data, given, "pruned")
    nets["pruned, 8 bits"] = Quantised(nets["pruned"])
    for name, sizes, seen, teacher in (
        ("small", narrow, data, None),
        (f"large, {FEW} labels", wide, few, None),
        (f"small, {FEW} labels", narrow, few, None),
        (f"distilled, {FEW} labels", narrow, data, f"large, {FEW} labels"),
    ):
        torch.manual_seed(given.seed + 1)
        nets[name] = train(Net(sizes), seen, given, name, nets.get(teacher))
    calls = 5 if given.quick else 200
    rows = {name: measured(net, name, data, given.out, calls) for name, net in nets.items()}
    print(f"{'':22}{'weights':>9}{'bytes':>11}{'1, ms':>8}{'64, ms':>8}{'accuracy':>10}")
    for name, (weights, size, one, many, right) in rows.items():
        print(f"{name:22}{weights:9,}{size:11,}{one:8.3f}{many:8.3f}{right:10.2%}")
    draw_sizes(rows, given.out / "sizes.png")
    return {name: row[4] for name, row in rows.items()}


if __name__ == "__main__":
    main()
