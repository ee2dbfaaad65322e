"""Photographs with digits pasted into them in, a box and a class for each digit out.

scikit-learn's digits, scaled, in light or dark ink, on crops of its two photographs. An anchor-free
detector (every cell near an object's middle says its class and how far its sides are) against
logistic regression on sliding windows. Tested digits, and the parts of the photographs behind them,
are not those of training.

    python examples/detection.py
"""

from __future__ import annotations

import numpy as np

import engine as torch
import engine.nn as nn
import engine.nn.functional as F
from engine.train import draw_curves, fit, need, options, positive, read
from engine.vision import batched_nms

load_digits = need("sklearn.datasets").load_digits
load_sample_images = need("sklearn.datasets").load_sample_images
LogisticRegression = need("sklearn.linear_model").LogisticRegression
train_test_split = need("sklearn.model_selection").train_test_split

SIDE, STRIDE, MOST = 96, 4, 4  # pixels of an image and of a cell; objects in an image
CELLS = SIDE // STRIDE
WINDOWS = (16, 24, 32, 40)  # sides that the baseline looks at


# What is seen, and what is to be said of it.


def enlarged(digit, side):
    """An 8x8 digit at ``side`` pixels, bilinear."""
    at = np.linspace(0, 7, side)
    low = np.minimum(at.astype(int), 6)
    part = (at - low).astype(np.float32)
    rows = digit[low] * (1 - part)[:, None] + digit[low + 1] * part[:, None]
    return rows[:, low] * (1 - part) + rows[:, low + 1] * part


def overlap(boxes, others):
    """Intersection over union [n, m] of boxes [n, 4] and [m, 4] (left, top, right, bottom)."""
    boxes, others = np.asarray(boxes)[:, None], np.asarray(others)[None]
    low = np.maximum(boxes[..., :2], others[..., :2])
    high = np.minimum(boxes[..., 2:], others[..., 2:])
    shared = np.maximum(high - low, 0).prod(-1)
    areas = [(some[..., 2:] - some[..., :2]).prod(-1) for some in (boxes, others)]
    return shared / (areas[0] + areas[1] - shared)


def scenes(seed, count, photographs, digits, classes):
    """Images [n, 1, SIDE, SIDE], boxes [n, MOST, 4] and classes [n, MOST], -1 where none is."""
    rng = np.random.default_rng(seed)
    images = np.empty((count, 1, SIDE, SIDE), np.float32)
    boxes = np.zeros((count, MOST, 4), np.float32)
    kinds = np.full((count, MOST), -1, np.int64)
    for at in range(count):
        photograph = photographs[rng.integers(len(photographs))]
        top, left = (rng.integers(size - SIDE + 1) for size in photograph.shape)
        image = photograph[top : top + SIDE, left : left + SIDE].copy()
        placed = 0
        for _ in range(rng.integers(1, MOST + 1)):
            which, side = rng.integers(len(digits)), rng.integers(16, 37)
            ink = enlarged(digits[which], side)
            y, x = rng.integers(SIDE - side + 1, size=2)
            rows, columns = np.flatnonzero(ink.max(1) > 0.25), np.flatnonzero(ink.max(0) > 0.25)
            box = [x + columns[0], y + rows[0], x + columns[-1] + 1, y + rows[-1] + 1]
            if placed and overlap([box], boxes[at, :placed]).max() > 0.05:
                continue
            under = image[y : y + side, x : x + side]
            color = rng.uniform(0.0, 0.2) if under.mean() > 0.5 else rng.uniform(0.8, 1.0)
            under += ink * (color - under)
            boxes[at, placed], kinds[at, placed] = box, classes[which]
            placed += 1
        images[at, 0] = image - 0.5
    return images, boxes, kinds


def targets(boxes, kinds):
    """For every cell its class [n, CELLS, CELLS], -1 where none, and its box [n, 4, CELLS, CELLS].

    The cells of an object are those at most one and a half cells from its middle.
    """
    middle = (np.arange(CELLS, dtype=np.float32) + 0.5) * STRIDE
    cells = np.full((len(boxes), CELLS, CELLS), -1, np.int64)
    sides = np.zeros((len(boxes), 4, CELLS, CELLS), np.float32)
    for k in range(MOST):
        x, y = (boxes[:, k, :2] + boxes[:, k, 2:]).T / 2
        far = np.maximum(abs(y[:, None, None] - middle[:, None]), abs(x[:, None, None] - middle))
        near = (far < 1.5 * STRIDE) & (kinds[:, k] >= 0)[:, None, None]
        cells = np.where(near, kinds[:, k, None, None], cells)
        sides = np.where(near[:, None], boxes[:, k, :, None, None], sides)
    return cells, sides


# The network and its two losses.


class Detector(nn.Module):
    """Images to class scores [n, 10, CELLS, CELLS] and boxes [n, 4, CELLS, CELLS] in pixels."""

    def __init__(self, width):
        super().__init__()
        narrow = width // 2
        layers = [(1, narrow, 1), (narrow, narrow, 1), (narrow, width, 1)]
        layers += [(width, width, dilation) for dilation in (1, 2, 2, 1)]
        blocks = [
            nn.Sequential(
                nn.Conv2d(a, b, 3, padding=dilation, dilation=dilation, bias=False),
                nn.BatchNorm2d(b),
                nn.ReLU(),
            )
            for a, b, dilation in layers
        ]
        pool = nn.MaxPool2d(2)
        self.body = nn.Sequential(blocks[0], pool, blocks[1], blocks[2], pool, *blocks[3:])
        self.classes = nn.Conv2d(width, 10, 1)
        self.sides = nn.Conv2d(width, 4, 1)
        nn.init.constant_(self.classes.bias, -4.0)  # nearly all cells are of no object
        middle = (torch.arange(CELLS) + 0.5) * STRIDE
        x = middle.reshape(1, -1).expand(CELLS, CELLS)
        y = middle.reshape(-1, 1).expand(CELLS, CELLS)
        self.register_buffer("middle", torch.stack([x, y, x, y]))

    def forward(self, images):
        seen = self.body(images)
        away = 8 * torch.exp(self.sides(seen))
        signs = torch.cat([-away[:, :2], away[:, 2:]], 1)
        return self.classes(seen), self.middle + signs


def focal(scores, cells):
    """Cross-entropy of every cell and class, weighted by how wrong it is, per object cell."""
    wanted = (cells[:, None] == torch.arange(10).reshape(1, 10, 1, 1)).float()
    loss = F.binary_cross_entropy_with_logits(scores, wanted, reduction="none")
    missing = torch.abs(wanted - torch.sigmoid(scores))
    weight = 0.25 + 0.5 * wanted
    return (weight * missing**2 * loss).sum() / wanted.sum().clamp(min=1.0)


def apart(boxes, others, cells):
    """1 - intersection over union of the boxes of object cells, averaged."""
    low = torch.maximum(boxes[:, :2], others[:, :2])
    high = torch.minimum(boxes[:, 2:], others[:, 2:])
    shared = (high - low).clamp(min=0.0).prod(1)
    areas = [(b[:, 2:] - b[:, :2]).prod(1) for b in (boxes, others)]
    found = (cells >= 0).float()
    ratio = (shared + 1.0) / (areas[0] + areas[1] - shared + 1.0)
    return ((1 - ratio) * found).sum() / found.sum().clamp(min=1.0)


# From scores to boxes, and how good they are.


def kept(boxes, scores, classes, least=0.05):
    """Boxes, scores and classes after suppression of those that overlap a better one."""
    chosen = np.argsort(-scores)[:200]
    chosen = chosen[scores[chosen] > least]
    arrays = boxes[chosen].astype(np.float32), scores[chosen].astype(np.float32), classes[chosen]
    if not len(chosen):
        return arrays
    best = batched_nms(*(torch.from_numpy(a) for a in arrays), 0.4).numpy()
    return tuple(a[best] for a in arrays)


def average_precision(found, boxes, kinds):
    """The mean over classes of the area under precision by recall, matches at IoU 0.5."""
    areas = []
    for kind in range(10):
        wanted = [boxes[at][kinds[at] == kind] for at in range(len(boxes))]
        total = sum(map(len, wanted))
        said = [
            (s, at, b)
            for at, f in enumerate(found)
            for b, s, k in zip(*f, strict=True)
            if k == kind
        ]
        taken = [np.zeros(len(w), bool) for w in wanted]
        right = []
        for _, at, box in sorted(said, key=lambda one: -one[0]):
            ious = np.where(taken[at], 0, overlap([box], wanted[at])[0]) if len(wanted[at]) else [0]
            best = int(np.argmax(ious))
            right.append(ious[best] >= 0.5)
            if right[-1]:
                taken[at][best] = True
        if total:
            hits = np.cumsum(right)
            precision = hits / np.arange(1, len(right) + 1)
            envelope = np.maximum.accumulate(precision[::-1])[::-1]
            areas.append(float((envelope * right).sum() / total))
    return float(np.mean(areas))


# The baseline.


def patches(image, side):
    """Every fourth window of ``side`` pixels as 8x8 [rows, columns, 64], without mean or scale."""
    views = np.lib.stride_tricks.sliding_window_view(image, (side, side))[::4, ::4]
    shape = views.shape[:2]
    small = views.reshape(*shape, 8, side // 8, 8, side // 8).mean((3, 5)).reshape(*shape, 64)
    small = small - small.mean(-1, keepdims=True)
    return small / (small.std(-1, keepdims=True) + 0.02)


def by_windows(training, images):
    """The baseline: boxes of every test image by logistic regression on sliding windows."""
    rng = np.random.default_rng(0)
    inputs, labels, shapes = [], [], []
    for image, boxes, kinds in zip(*training, strict=True):
        real = boxes[kinds >= 0]
        for side in WINDOWS:
            seen = patches(image[0], side)
            y, x = (4 * index for index in np.indices(seen.shape[:2]))
            windows = np.stack([x, y, x + side, y + side], -1).reshape(-1, 4)
            ious = overlap(windows, real)
            best, score = ious.argmax(1), ious.max(1)
            chosen = np.concatenate(
                [np.flatnonzero(score > 0.55), rng.permutation(np.flatnonzero(score < 0.3))[:6]]
            )
            inputs.append(seen.reshape(-1, 64)[chosen])
            labels.append(np.where(score > 0.55, kinds[kinds >= 0][best], 10)[chosen])
            good = chosen[score[chosen] > 0.55]
            shapes.append((real[best[good]] - windows[good][:, [0, 1, 0, 1]]) / side)
    model = LogisticRegression(max_iter=300, C=0.1).fit(
        np.concatenate(inputs), np.concatenate(labels)
    )
    inside = np.concatenate(shapes).mean(0)  # where in its window an object lies, on average
    found = []
    for image in images:
        every, scores = [], []
        for side in WINDOWS:
            seen = patches(image[0], side)
            y, x = (4 * index.ravel() for index in np.indices(seen.shape[:2]))
            every.append(np.stack([x, y, x, y], 1) + inside * side)
            scores.append(model.predict_proba(seen.reshape(-1, 64))[:, :10])
        scores = np.concatenate(scores)
        found.append(kept(np.concatenate(every), scores.max(1), scores.argmax(1)))
    return found


# The run.


def draw_boxes(images, found, path):
    """Some images with the boxes that are found, each with its class."""
    plt = need("matplotlib.pyplot")
    plt.switch_backend("agg")
    figure, places = plt.subplots(2, 5, figsize=(13, 5.4))
    for place, image, boxes_of in zip(places.flat, images, found, strict=False):
        place.imshow(image[0], cmap="gray")
        place.axis("off")
        for (left, top, right, bottom), score, kind in zip(*boxes_of, strict=True):
            if score > 0.6:
                side = right - left, bottom - top
                place.add_patch(plt.Rectangle((left, top), *side, fill=False, color="lime"))
                place.text(left, top - 2, f"{kind}", color="yellow", fontsize=11)
    figure.savefig(path, dpi=80, bbox_inches="tight")
    plt.close(figure)


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Train, compare, draw; the mean average precision of the network and of the baseline."""
    parser = options("detection", __doc__.splitlines()[0], epochs=12, batch_size=32, lr=2e-3)
    parser.add_argument("--width", type=positive, default=48, help="channels of the last layers")
    parser.add_argument("--images", type=positive, default=1_536, help="new ones in every epoch")
    parser.add_argument("--tested", type=positive, default=200, help="images of the test")
    given = read(parser, arguments, {"epochs": 2, "width": 8, "images": 96, "tested": 20})
    if given.images < given.batch_size:
        parser.error(f"--images {given.images}: give a batch at least, {given.batch_size}")
    raw = load_digits()
    x, x_test, y, y_test = train_test_split(
        (raw.images / 16.0).astype(np.float32), raw.target, test_size=0.2, random_state=0
    )
    grey = [image.mean(2).astype(np.float32) / 255 for image in load_sample_images().images]
    known = [image[:, :400] for image in grey], x, y
    images, boxes, kinds = scenes(
        [1], given.tested, [image[:, 420:] for image in grey], x_test, y_test
    )
    net = Detector(given.width)
    optimizer = torch.optim.AdamW(net.parameters(), lr=given.lr, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, given.epochs)

    @torch.jit
    def step(images, cells, sides):
        optimizer.zero_grad()
        scores, boxes = net(images)
        loss = focal(scores, cells) + apart(boxes, sides, cells)
        loss.backward()
        optimizer.step()
        return loss

    @torch.jit
    def predict(images):
        with torch.no_grad():
            scores, boxes = net(images)
            return torch.sigmoid(scores), boxes

    def detections():
        net.eval()
        found = []
        for start in range(0, given.tested, 50):
            scores, places = predict(torch.from_numpy(images[start : start + 50]))
            for one, box in zip(scores.numpy(), places.numpy(), strict=True):
                flat = one.reshape(10, -1)
                found.append(kept(box.reshape(4, -1).T, flat.max(0), flat.argmax(0)))
        return found

    def epoch(number):
        net.train()
        seen = scenes([given.seed, number, 2], given.images, *known)
        parts = [seen[0], *targets(*seen[1:])]
        losses = []
        for start in range(0, given.images - given.batch_size + 1, given.batch_size):
            rows = slice(start, start + given.batch_size)
            losses.append(step(*(torch.from_numpy(part[rows]) for part in parts)).item())
        schedule.step()
        return {"loss": np.mean(losses), "precision": average_precision(detections(), boxes, kinds)}

    history = fit(
        epoch,
        given.epochs,
        {"net": net, "optimizer": optimizer, "schedule": schedule},
        checkpoint=given.checkpoint,
        resume=given.resume,
        stop_after=given.stop_after,
    )
    draw_curves(history, ["loss"], given.out / "loss.png", "Digits on photographs")
    draw_boxes(images, detections(), given.out / "boxes.png")
    training = scenes([given.seed, 0], 2 * given.tested, *known)
    baseline = average_precision(by_windows(training, images), boxes, kinds)
    precision = history[-1]["precision"]
    print(f"mean average precision at IoU 0.5: {precision:.3f}; sliding windows {baseline:.3f}")
    return {"precision": precision, "baseline": baseline}


if __name__ == "__main__":
    main()
