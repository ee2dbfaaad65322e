"""Boxes in, what loops over plain numbers say about them out: formats, overlaps, suppression."""

import math

import numpy as np
import pytest

import engine
from engine import vision

RANDOM = np.random.default_rng(0)


def corners(count, dtype=np.float64):
    """Random boxes within [0, 14)."""
    low = RANDOM.uniform(0, 9, (count, 2))
    return np.concatenate([low, low + RANDOM.uniform(0.5, 5, (count, 2))], 1).astype(dtype)


ONE, OTHER = corners(7), corners(5)


def common_and_union(a, b):
    width = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    height = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    both = width * height
    return both, (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both


def iou(a, b):
    both, union = common_and_union(a, b)
    return both / union


def generalized(a, b):
    _, union = common_and_union(a, b)
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return iou(a, b) - (hull - union) / hull


def distance(a, b):
    width, height = max(a[2], b[2]) - min(a[0], b[0]), max(a[3], b[3]) - min(a[1], b[1])
    dx, dy = (a[0] + a[2] - b[0] - b[2]) / 2, (a[1] + a[3] - b[1] - b[3]) / 2
    return iou(a, b) - (dx * dx + dy * dy) / (width * width + height * height)


def complete(a, b):
    turn = math.atan((a[2] - a[0]) / (a[3] - a[1])) - math.atan((b[2] - b[0]) / (b[3] - b[1]))
    v = 4 / math.pi**2 * turn**2
    return distance(a, b) - v * v / (1 - iou(a, b) + v) if v else distance(a, b)


PAIRWISE = {
    "box_iou": iou,
    "generalized_box_iou": generalized,
    "distance_box_iou": distance,
    "complete_box_iou": complete,
}
LOSSES = [name for name in PAIRWISE if name != "box_iou"]


@pytest.mark.parametrize("name", PAIRWISE)
def test_overlap_of_all_pairs(name):
    function = getattr(vision, name)
    wanted = [[PAIRWISE[name](a, b) for b in OTHER] for a in ONE]
    args = engine.tensor(ONE), engine.tensor(OTHER)
    for out in (function(*args), engine.jit(function)(*args)):
        np.testing.assert_allclose(out.numpy(), wanted, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_pairs(name):
    function = getattr(vision, f"{name}_loss")
    first = ONE[: len(OTHER)]
    wanted = [1 - PAIRWISE[name](a, b) for a, b in zip(first, OTHER, strict=True)]
    args = engine.tensor(first), engine.tensor(OTHER)
    for out in (function(*args), engine.jit(function)(*args)):
        np.testing.assert_allclose(out.numpy(), wanted, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(function(*args, reduction="mean").item(), np.mean(wanted), 1e-6)
    np.testing.assert_allclose(function(*args, reduction="sum").item(), np.sum(wanted), 1e-6)
    with pytest.raises(ValueError, match="reduction"):
        function(*args, reduction="most")
    assert function(engine.zeros(0, 4), engine.zeros(0, 4), reduction="mean").item() == 0


@pytest.mark.parametrize("name", ["generalized_box_iou_loss", "distance_box_iou_loss"])
def test_gradients_of_losses_by_differences(name):
    function, step = getattr(vision, name), 1e-6
    first, second = ONE[: len(OTHER)], engine.tensor(OTHER)
    x = engine.tensor(first, requires_grad=True)
    function(x, second, reduction="sum").backward()
    for at in np.ndindex(first.shape):
        up, down = first.copy(), first.copy()
        up[at] += step
        down[at] -= step
        ends = [function(engine.tensor(v), second, reduction="sum").item() for v in (up, down)]
        np.testing.assert_allclose(x.grad.numpy()[at], (ends[0] - ends[1]) / 2 / step, 1e-4, 1e-6)


def test_the_weight_of_the_aspect_has_no_gradient():
    a, b = np.array([[0.0, 0, 2, 1]]), np.array([[0.0, 0, 2, 2]])
    x = engine.tensor(a, requires_grad=True)
    y = engine.tensor(a, requires_grad=True)
    vision.complete_box_iou_loss(x, engine.tensor(b)).sum().backward()
    vision.distance_box_iou_loss(y, engine.tensor(b)).sum().backward()
    turn = math.atan(2) - math.atan(1)
    v = 4 / math.pi**2 * turn**2
    alpha = v / (1 - 0.5 + v)
    # d atan(w / h) / dw is h / (w**2 + h**2)
    wanted = alpha * 8 / math.pi**2 * turn * 1 / 5
    found = (x.grad - y.grad).numpy()[0, 2]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_values_known_by_hand():
    a, b = engine.tensor([[0.0, 0, 2, 2]]), engine.tensor([[1.0, 1, 3, 3], [4, 0, 6, 2]])
    np.testing.assert_allclose(vision.box_iou(a, b).numpy(), [[1 / 7, 0]], rtol=1e-6)
    wanted = [[1 / 7 - 2 / 9, -4 / 12]]
    np.testing.assert_allclose(vision.generalized_box_iou(a, b).numpy(), wanted, rtol=1e-6)
    wanted = [[1 / 7 - 2 / 18, -16 / 40]]
    np.testing.assert_allclose(vision.distance_box_iou(a, b).numpy(), wanted, rtol=1e-6)
    np.testing.assert_allclose(vision.complete_box_iou(a, b).numpy(), wanted, rtol=1e-6)


def test_formats():
    given = {
        "xyxy": [[2.0, 3, 6, 9], [0, 0, 0, 0]],
        "xywh": [[2.0, 3, 4, 6], [0, 0, 0, 0]],
        "cxcywh": [[4.0, 6, 4, 6], [0, 0, 0, 0]],
    }
    for one, values in given.items():
        for other, wanted in given.items():
            function = engine.jit(lambda x, i=one, o=other: vision.box_convert(x, i, o))
            for out in (
                vision.box_convert(engine.tensor(values), one, other),
                function(engine.tensor(values)),
            ):
                assert out.tolist() == wanted, (one, other)
        assert vision.box_area(engine.tensor(values), one).tolist() == [24, 0]
    np.testing.assert_allclose(
        vision.box_iou(*(engine.tensor(given["cxcywh"])[:1] for _ in "12"), "cxcywh").numpy(), 1
    )
    with pytest.raises(ValueError, match="formats"):
        vision.box_convert(engine.tensor(given["xyxy"]), "xyxy", "yxyx")


def test_whole_numbers():
    boxes = engine.tensor(np.array([[0, 0, 100, 100], [50, 0, 150, 100]], np.uint8))
    assert vision.box_area(boxes).tolist() == [10000, 10000]
    assert vision.box_area(boxes).dtype == engine.int32
    wide = boxes.to(engine.int64)
    np.testing.assert_allclose(vision.box_iou(wide, wide).numpy(), [[1, 1 / 3], [1 / 3, 1]], 1e-6)
    assert vision.box_convert(wide, "xyxy", "xywh").tolist() == [
        [0, 0, 100, 100],
        [50, 0, 100, 100],
    ]
    assert vision.box_convert(wide, "xyxy", "cxcywh").tolist()[1] == [100, 50, 100, 100]


def test_clip_and_remove():
    boxes = engine.tensor([[-2.0, -3, 4, 5], [1, 1, 30, 40], [8, 8, 8.5, 12]])
    cut = vision.clip_boxes_to_image(boxes, (10, 20))
    assert cut.tolist() == [[0, 0, 4, 5], [1, 1, 20, 10], [8, 8, 8.5, 10]]
    assert vision.remove_small_boxes(cut, 0.6).tolist() == [0, 1]
    assert vision.remove_small_boxes(cut, 5).tolist() == [1]
    with pytest.raises(engine.Unsupported, match="depends on data"):
        engine.jit(vision.remove_small_boxes)(cut, 1)


def kept(boxes, scores, classes, limit):
    """Suppression by two loops."""
    out = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        rivals = [j for j in out if classes[j] == classes[i]]
        if all(iou(boxes[j], boxes[i]) <= limit for j in rivals):
            out.append(i)
    return out


@pytest.mark.parametrize("limit", [0.0, 0.2, 0.5, 0.9])
def test_suppression_by_loops(limit):
    boxes, scores = corners(60), RANDOM.permutation(60) / 60
    classes = RANDOM.integers(0, 3, 60)
    args = engine.tensor(boxes), engine.tensor(scores)
    assert vision.nms(*args, limit).tolist() == kept(boxes, scores, 60 * [0], limit)
    found = vision.batched_nms(*args, engine.tensor(classes), limit)
    assert found.tolist() == kept(boxes, scores, classes, limit)
    assert found.dtype == engine.int64


def test_suppression_known_by_hand():
    boxes = engine.tensor([[0.0, 0, 2, 2], [0, 0, 2, 1], [1, 0, 3, 2], [0, 0, 2, 2]])
    scores = engine.tensor([0.9, 0.8, 0.7, 0.9])
    assert vision.nms(boxes, scores, 0.5).tolist() == [0, 1, 2]  # 0.5 is not above 0.5
    assert vision.nms(boxes, scores, 0.4).tolist() == [0, 2]
    assert vision.nms(boxes, scores, 0.3).tolist() == [0]
    assert vision.nms(engine.zeros(0, 4), engine.zeros(0), 0.3).tolist() == []
    with pytest.raises(RuntimeError, match="nms takes"):
        vision.nms(boxes, scores[:3], 0.5)
    with pytest.raises(engine.Unsupported, match="depends on data"):
        engine.jit(vision.nms)(boxes, scores, 0.5)


def test_focal_loss_of_single_numbers():
    x, y = RANDOM.standard_normal(12), RANDOM.integers(0, 2, 12).astype(float)
    wanted = []
    for score, label in zip(x, y, strict=True):
        p = 1 / (1 + math.exp(-score))
        hit = p if label else 1 - p
        wanted.append(-(0.25 if label else 0.75) * (1 - hit) ** 2 * math.log(hit))
    out = vision.sigmoid_focal_loss(engine.tensor(x), engine.tensor(y))
    np.testing.assert_allclose(out.numpy(), wanted, rtol=1e-9)


def sampled(image, y, x):
    """The bilinear value of one channel at a place, 0 beyond a place outside."""
    height, width = image.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = min(int(y), height - 2), min(int(x), width - 2)
    dy, dx = y - top, x - left
    square = image[top : top + 2, left : left + 2]
    return float(np.array([1 - dy, dy]) @ square @ np.array([1 - dx, dx]))


def aligned_by_loops(images, rois, sizes, scale, ratio, aligned):
    out = np.zeros((len(rois), images.shape[1], *sizes))
    for k, (number, *box) in enumerate(rois):
        x1, y1, x2, y2 = (v * scale - (0.5 if aligned else 0) for v in box)
        high, wide = (s if aligned else max(s, 1) for s in (y2 - y1, x2 - x1))
        rows = ratio if ratio > 0 else math.ceil(high / sizes[0])
        columns = ratio if ratio > 0 else math.ceil(wide / sizes[1])
        for c, i, j in np.ndindex(out.shape[1:]):
            total = 0.0
            for a, b in np.ndindex(rows, columns):
                y = y1 + (i + (a + 0.5) / rows) * high / sizes[0]
                x = x1 + (j + (b + 0.5) / columns) * wide / sizes[1]
                total += sampled(images[int(number), c], y, x)
            out[k, c, i, j] = total / max(rows * columns, 1)
    return out


ROIS = np.array([[0, 1, 2, 9, 8], [1, -4, -3, 5, 4], [1, 6.3, 5.1, 17, 14], [0, 3, 3, 3.2, 3.1]])


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [2, 3, -1])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_regions_by_loops(aligned, ratio, scale):
    images = RANDOM.standard_normal((2, 3, 8, 9))
    wanted = aligned_by_loops(images, ROIS, (3, 2), scale, ratio, aligned)
    x = engine.tensor(images, requires_grad=True)
    out = vision.roi_align(x, engine.tensor(ROIS), (3, 2), scale, ratio, aligned)
    np.testing.assert_allclose(out.detach().numpy(), wanted, rtol=1e-9, atol=1e-12)
    weights = RANDOM.standard_normal(wanted.shape)
    (out * engine.tensor(weights)).sum().backward()  # linear in the image: its own gradient
    np.testing.assert_allclose((x.grad.numpy() * images).sum(), (weights * wanted).sum(), 1e-9)


def test_regions_of_lists_and_compiled():
    images = engine.tensor(RANDOM.standard_normal((2, 3, 8, 9)))
    parts = [ROIS[ROIS[:, 0] == n, 1:] for n in (0, 1)]
    rois = np.concatenate([np.insert(part, 0, n, axis=1) for n, part in enumerate(parts)])
    wanted = vision.roi_align(images, engine.tensor(rois), 2, 1.0, 2).numpy()
    listed = vision.roi_align(images, [engine.tensor(part) for part in parts], 2, 1.0, 2)
    np.testing.assert_array_equal(listed.numpy(), wanted)
    step = engine.jit(lambda x, boxes: vision.roi_align(x, boxes, 2, 1.0, 2))
    np.testing.assert_allclose(step(images, engine.tensor(rois)).numpy(), wanted, rtol=1e-9)
    adaptive = engine.jit(lambda x, boxes: vision.roi_align(x, boxes, 2))
    with pytest.raises(engine.Unsupported, match="sampling_ratio"):
        adaptive(images, engine.tensor(rois))
