"""Small images in, the values that the definitions of convolution and pooling give out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import engine
import engine.nn.functional as F
from engine import nn

N = np.random.default_rng(0).standard_normal


def test_conv_transpose_is_the_transpose_of_conv() -> None:
    x, y = engine.tensor(N((2, 4, 9))), engine.tensor(N((2, 6, 4)))
    weight = engine.tensor(N((6, 2, 3)))
    options = {"stride": 2, "padding": 0, "groups": 2, "dilation": 1}
    left = (F.conv1d(x, weight, **options) * y).sum().item()
    back = F.conv_transpose1d(y, weight, **options)
    assert back.shape == x.shape
    np.testing.assert_allclose((back * x).sum().item(), left, rtol=1e-12)


def test_max_pool_positions_bring_the_maxima_back() -> None:
    image = N((2, 3, 6, 8))
    best, at = F.max_pool2d(engine.tensor(image), 2, return_indices=True)
    np.testing.assert_array_equal(
        np.take_along_axis(image.reshape(2, 3, -1), at.numpy().reshape(2, 3, -1), 2),
        best.numpy().reshape(2, 3, -1),
    )
    back = F.max_unpool2d(best, at, 2).numpy()
    np.testing.assert_array_equal(back[back != 0], image[back != 0])
    assert (back != 0).sum() == best.numel()


def test_adaptive_mean_of_parts_that_do_not_divide() -> None:
    line = N((1, 1, 7))
    found = F.adaptive_avg_pool1d(engine.tensor(line), 3).numpy()[0, 0]
    wanted = [line[0, 0, a:b].mean() for a, b in ((0, 3), (2, 5), (4, 7))]
    np.testing.assert_allclose(found, wanted)


def test_shuffling_and_folding_undo_themselves() -> None:
    x = engine.tensor(N((2, 8, 3, 4)))
    np.testing.assert_array_equal(F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2).numpy(), x.numpy())
    columns = F.unfold(x, 2, stride=1)
    times = F.fold(F.unfold(engine.ones_like(x), 2), (3, 4), 2)
    np.testing.assert_allclose((F.fold(columns, (3, 4), 2) / times).numpy(), x.numpy())


def test_identity_grid_gives_the_image() -> None:
    x = engine.tensor(N((2, 3, 4, 5)))
    theta = engine.tensor(np.tile(np.eye(2, 3), (2, 1, 1)))
    grid = F.affine_grid(theta, (2, 3, 4, 5), align_corners=False)
    found = F.grid_sample(x, grid, align_corners=False)
    np.testing.assert_allclose(found.numpy(), x.numpy(), atol=1e-12)


@pytest.mark.parametrize(
    ("call", "shape"),
    [
        (nn.Conv1d(4, 6, 3, padding="same"), (2, 4, 9)),
        (nn.ConvTranspose2d(4, 3, 4, stride=2, padding=1), (2, 4, 5, 5)),
        (nn.AdaptiveAvgPool2d(1), (2, 4, 5, 6)),
        (nn.MaxPool2d(3, stride=2, padding=1), (2, 4, 8, 8)),
        (nn.Upsample(scale_factor=2), (2, 4, 5, 5)),
        (nn.Upsample(size=(7, 9), mode="bilinear"), (2, 4, 5, 5)),
    ],
    ids=str,
)
def test_compiled_as_eager(call: Callable[..., Any], shape: tuple[int, ...]) -> None:
    x = engine.tensor(N(shape).astype(np.float32))
    found, wanted = engine.jit(call)(x), call(x)
    np.testing.assert_allclose(
        found.detach().numpy(), wanted.detach().numpy(), rtol=1e-5, atol=1e-5
    )


def test_antialiased_half_is_a_triangle_over_four_places() -> None:
    line = N(8)
    image = engine.tensor(np.broadcast_to(line, (1, 2, 8, 8)).copy())
    options = {"size": (8, 4), "mode": "bilinear", "antialias": True}
    found = F.interpolate(image, **options)
    wanted = [  # a triangle two places wide around the centre of each pair
        sum(w * line[k] for k, w in taps.items()) / sum(taps.values())
        for taps in (
            {k: 1 - abs(k + 0.5 - centre) / 2 for k in range(8) if abs(k + 0.5 - centre) < 2}
            for centre in (1, 3, 5, 7)
        )
    ]
    np.testing.assert_allclose(found.numpy(), np.broadcast_to(wanted, (1, 2, 8, 4)))
    compiled = engine.jit(lambda x: F.interpolate(x, **options))(image)
    np.testing.assert_allclose(compiled.numpy(), found.numpy())


def test_bytes_are_weighed_and_rounded() -> None:
    image = np.arange(0, 240, 20, dtype=np.uint8).reshape(1, 1, 1, 12)
    found = F.interpolate(engine.tensor(image), size=(1, 6), mode="bilinear")
    assert found.dtype == engine.uint8
    np.testing.assert_array_equal(found.numpy().ravel(), np.arange(10, 240, 40))


def test_windows_at_drawn_places() -> None:
    line = engine.tensor(N((1, 1, 2, 9)))
    draws = engine.tensor(np.array([[[0.25, 0.0]]]))
    best, at = F.fractional_max_pool2d(
        line, (2, 2), (1, 4), return_indices=True, _random_samples=draws
    )
    step = 7 / 3
    starts = [int((i + 0.25) * step) - int(0.25 * step) for i in range(3)] + [7]
    wanted = [line.numpy()[0, 0, :, start : start + 2].max() for start in starts]
    np.testing.assert_array_equal(best.numpy().ravel(), wanted)
    np.testing.assert_array_equal(line.numpy().ravel()[at.numpy().ravel()], wanted)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"mode": "lanczos"}, ValueError),
        ({"mode": "nearest", "antialias": True}, ValueError),
        ({"mode": "nearest", "align_corners": False}, ValueError),
        ({"mode": "linear"}, NotImplementedError),
        ({"mode": "cubic"}, NotImplementedError),
    ],
    ids=str,
)
def test_modes_that_are_refused(options: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        F.interpolate(engine.ones(1, 1, 4, 4), size=2, **options)


def test_nearest_gives_the_grid_a_gradient_of_zeros() -> None:
    grid = engine.tensor(N((1, 2, 3, 2)), requires_grad=True)
    F.grid_sample(engine.tensor(N((1, 2, 4, 5))), grid, mode="nearest").sum().backward()
    assert grid.grad is not None
    np.testing.assert_array_equal(grid.grad.numpy(), 0)
