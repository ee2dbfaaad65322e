"""Convolutions, pools, folds, resampling and sampling of PyTorch and of the engine on the same
numbers in, equal values and gradients out. Asks PyTorch live: run by `make parity`.

All in float64, so that a difference is no rounding.
"""

import inspect
import itertools
from typing import Any

import numpy as np
import pytest

import engine
import engine.nn.functional as F
from engine import nn

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning"),
    pytest.mark.filterwarnings("ignore:Note that order of the arguments"),
]
torch = pytest.importorskip("torch")
TF = pytest.importorskip("torch.nn.functional")

Arrays = list[np.ndarray[Any, Any]]
SIZES = {1: (11,), 2: (9, 8), 3: (6, 5, 7)}
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


def named(options: Any) -> str:
    return str(options).replace("'", "").replace(" ", "")


def normal(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(sum(shape)).standard_normal(shape)


def flat(out: Any) -> list[Any]:
    return list(out) if isinstance(out, tuple) else [out]


def agree(ours: Any, theirs: Any, arrays: Arrays, own: Any = (), other: Any = ()) -> None:
    """Same values, dtypes and gradients of a weighted sum, of the operands and of parameters."""
    a = [engine.tensor(x, requires_grad=x.dtype.kind == "f") for x in arrays]
    b = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in arrays]
    outs, wanted = flat(ours(*a)), flat(theirs(*b))
    assert len(outs) == len(wanted)
    for x, y in zip(outs, wanted, strict=True):
        assert str(x.dtype) == str(y.dtype).removeprefix("torch.")
        np.testing.assert_allclose(x.detach().numpy(), y.detach().numpy(), 1e-9, 1e-10)
    weight = normal(*wanted[0].shape)
    (outs[0] * engine.tensor(weight)).sum().backward()
    (wanted[0] * torch.tensor(weight)).sum().backward()
    for x, y in zip([*a, *own], [*b, *other], strict=True):
        assert (x.grad is None) == (y.grad is None)
        if y.grad is not None:
            np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), 1e-8, 1e-9)


def agree_layers(name: str, given: dict[str, Any], arrays: Arrays, **call: Any) -> None:
    """Modules of that name with the same weights: text, keys, values, gradients."""
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name)(**given).double()
    mine = getattr(nn, name)(**given).to(engine.float64)
    assert repr(mine) == repr(theirs)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    state = theirs.state_dict().items()
    mine.load_state_dict({key: engine.tensor(value.numpy()) for key, value in state})
    agree(
        lambda *x: mine(*x, **call),
        lambda *x: theirs(*x, **call),
        arrays,
        mine.parameters(),
        theirs.parameters(),
    )


CONVOLUTIONS: list[dict[str, Any]] = [
    {},
    {"stride": 2, "padding": 1},
    {"padding": "same", "dilation": 2},
    {"padding": "valid", "groups": 2},
    {"stride": 3, "padding": 2, "dilation": 2, "groups": 2},
]
TRANSPOSED: list[dict[str, Any]] = [
    {},
    {"stride": 2, "output_padding": 1},
    {"stride": 2, "padding": 1, "groups": 2},
    {"stride": 3, "padding": 2, "output_padding": 2, "dilation": 2},
    {"stride": 2, "dilation": 3, "output_padding": 2, "groups": 4, "padding": 1},
]


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("options", CONVOLUTIONS, ids=named)
@pytest.mark.parametrize("batched", [True, False])
def test_convolution(rank: int, options: dict[str, Any], batched: bool) -> None:
    weight = normal(6, 4 // options.get("groups", 1), *(3, 2, 2)[:rank])
    image = normal(*([2] if batched else []), 4, *SIZES[rank])
    name = f"conv{rank}d"
    for mine in (getattr(F, name), getattr(engine, name)):
        agree(
            lambda x, w, b, call=mine: call(x, w, b, **options),
            lambda x, w, b: getattr(torch, name)(x, w, b, **options),
            [image, weight, normal(6)],
        )


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("options", TRANSPOSED, ids=named)
def test_transposed_convolution(rank: int, options: dict[str, Any]) -> None:
    weight = normal(4, 8 // options.get("groups", 1), *(3, 2, 4)[:rank])
    name = f"conv_transpose{rank}d"
    agree(
        lambda x, w, b: getattr(F, name)(x, w, b, **options),
        lambda x, w, b: getattr(TF, name)(x, w, b, **options),
        [normal(2, 4, *SIZES[rank]), weight, normal(8)],
    )


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("options", CONVOLUTIONS[1:4], ids=named)
def test_convolution_layer(rank: int, mode: str, options: dict[str, Any]) -> None:
    given = {"in_channels": 4, "out_channels": 6, "kernel_size": 3, "padding_mode": mode, **options}
    agree_layers(f"Conv{rank}d", given, [normal(2, 4, *SIZES[rank])])


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("more", [0, 1])
def test_transposed_layer_with_a_wanted_size(rank: int, more: int) -> None:
    given = {"in_channels": 4, "out_channels": 6, "kernel_size": 3, "stride": 2, "bias": False}
    wanted = [(size - 1) * 2 + 3 + more for size in SIZES[rank]]
    images = [normal(2, 4, *SIZES[rank])]
    agree_layers(f"ConvTranspose{rank}d", given, images, output_size=wanted)


WINDOWS: list[dict[str, Any]] = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": 2, "stride": 3, "padding": 1, "ceil_mode": True},
]
DILATED = {"kernel_size": 2, "stride": 1, "dilation": 2, "padding": 1, "ceil_mode": True}
UNCOUNTED = {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False}


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("options", [*WINDOWS, DILATED], ids=named)
def test_max_pool_and_back(rank: int, options: dict[str, Any]) -> None:
    name, image = f"max_pool{rank}d", normal(2, 3, *SIZES[rank])
    for kind in ({}, {"return_indices": True}):
        agree(
            lambda x, kind=kind: getattr(F, name)(x, **options, **kind),
            lambda x, kind=kind: getattr(TF, name)(x, **options, **kind),
            [image],
        )
        agree_layers(f"MaxPool{rank}d", {**options, **kind}, [image])
    best, at = getattr(TF, name)(torch.tensor(image), **options, return_indices=True)
    if options["kernel_size"] == options.get("stride", 2):
        given = {"kernel_size": options["kernel_size"]}
        arrays = [best.numpy(), at.numpy()]
        agree_layers(f"MaxUnpool{rank}d", given, arrays, output_size=list(SIZES[rank]))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("options", [*WINDOWS, UNCOUNTED], ids=named)
def test_mean_pool(rank: int, options: dict[str, Any]) -> None:
    name = f"avg_pool{rank}d"
    extra = [{}] if rank == 1 else [{}, {"divisor_override": 3}]
    for more, shape in itertools.product(extra, [(2, 3), (3,)]):
        agree(
            lambda x, more=more: getattr(F, name)(x, **options, **more),
            lambda x, more=more: getattr(TF, name)(x, **options, **more),
            [normal(*shape, *SIZES[rank])],
        )
    agree_layers(f"AvgPool{rank}d", options, [normal(2, 3, *SIZES[rank])])


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("norm", [1, 2, 3.5])
@pytest.mark.parametrize("options", [WINDOWS[0], WINDOWS[2]], ids=named)
def test_norm_pool(rank: int, norm: float, options: dict[str, Any]) -> None:
    image = normal(2, 3, *SIZES[rank])
    image = np.abs(image) + 0.1 if norm != 2 else image  # an odd power of a sum below 0 is NaN
    agree_layers(f"LPPool{rank}d", {"norm_type": norm, **options}, [image])


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("wanted", [1, 3, (4,), None], ids=named)
def test_adaptive_pools(rank: int, wanted: Any) -> None:
    size: Any = wanted
    if isinstance(wanted, tuple):
        size = (4, None, 2)[:rank]
    elif wanted is None:
        size = SIZES[rank]
    image = normal(2, 3, *SIZES[rank])
    agree_layers(f"AdaptiveAvgPool{rank}d", {"output_size": size}, [image])
    for told in (False, True):
        given = {"output_size": size, "return_indices": told}
        agree_layers(f"AdaptiveMaxPool{rank}d", given, [image])


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("ratio", [0.5, 0.3])
def test_fractional_pool(rank: int, ratio: float) -> None:
    draws = np.random.default_rng(0).random((2, 3, rank))
    name = f"fractional_max_pool{rank}d"
    options = {"kernel_size": 2, "output_ratio": (ratio,) * rank, "return_indices": True}
    agree(
        lambda x: getattr(F, name)(x, **options, _random_samples=engine.tensor(draws)),
        lambda x: getattr(TF, name)(x, **options, _random_samples=torch.tensor(draws)),
        [normal(2, 3, *SIZES[rank])],
    )


@pytest.mark.parametrize("stride", [1, 2, (1, 3)])
@pytest.mark.parametrize("dilation", [1, (2, 1)])
@pytest.mark.parametrize("padding", [0, (2, 1)])
def test_unfold_and_fold(stride: Any, dilation: Any, padding: Any) -> None:
    options = {"stride": stride, "dilation": dilation, "padding": padding}
    given = {"kernel_size": (2, 3), **options}
    image = normal(2, 3, 9, 8)
    agree_layers("Unfold", given, [image])
    columns = TF.unfold(torch.tensor(image), **given).numpy()
    agree_layers("Fold", {"output_size": (9, 8), **given}, [columns])


SCALES: list[dict[str, Any]] = [
    {"size": 5},
    {"scale_factor": 2.0},
    {"scale_factor": 0.6},
    {"scale_factor": 1.7, "recompute_scale_factor": True},
]


RESAMPLINGS: list[tuple[int, dict[str, Any]]] = [
    *((rank, {"mode": m}) for rank in SIZES for m in ("nearest", "nearest-exact", "area")),
    *((rank, {"mode": LINEAR[rank], "align_corners": c}) for rank in SIZES for c in (False, True)),
    *((2, {"mode": "bicubic", "align_corners": c}) for c in (False, True)),
]


@pytest.mark.parametrize("scale", SCALES, ids=named)
@pytest.mark.parametrize(("rank", "kind"), RESAMPLINGS, ids=named)
def test_interpolate(rank: int, kind: dict[str, Any], scale: dict[str, Any]) -> None:
    options = {**scale, **kind}
    image = normal(2, 3, *SIZES[rank])
    agree(lambda x: F.interpolate(x, **options), lambda x: TF.interpolate(x, **options), [image])
    agree_layers("Upsample", options, [image])


SMOOTHED = [*(("bilinear", c) for c in (False, True)), ("bicubic", False), ("lanczos", None)]


@pytest.mark.parametrize("scale", [{"size": (5, 17)}, *SCALES[1:]], ids=named)
@pytest.mark.parametrize(("mode", "corners"), SMOOTHED)
def test_antialiased_and_bytes(mode: str, corners: bool | None, scale: dict[str, Any]) -> None:
    options = {**scale, "mode": mode, "align_corners": corners, "antialias": True}
    image = normal(2, 3, 9, 8)
    agree(lambda x: F.interpolate(x, **options), lambda x: TF.interpolate(x, **options), [image])
    for channels, smooth in itertools.product((3, 5), {True, mode == "lanczos"}):
        draw = np.random.default_rng(0).integers(0, 256, (2, channels, 9, 8), np.uint8)
        kind = {**options, "antialias": smooth}
        found = F.interpolate(engine.tensor(draw), **kind).numpy()
        np.testing.assert_array_equal(found, TF.interpolate(torch.tensor(draw), **kind).numpy())


def test_older_names_of_upsampling() -> None:
    image = normal(2, 3, 4, 5)
    for name in ("UpsamplingNearest2d", "UpsamplingBilinear2d"):
        agree_layers(name, {"scale_factor": 2}, [image])
        agree_layers(name, {"size": (7, 6)}, [image])


SAMPLINGS = [(2, "bilinear"), (2, "nearest"), (2, "bicubic"), (3, "bilinear"), (3, "nearest")]


@pytest.mark.parametrize(("rank", "mode"), SAMPLINGS)
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("corners", [False, True])
def test_grid_sample(rank: int, mode: str, padding: str, corners: bool) -> None:
    grid = np.random.default_rng(2).uniform(-2, 2, (2, *(4, 3, 2)[:rank], rank))
    grid.reshape(-1)[:6] = [-1, 1, 0, 2, 0.5, -0.5]  # borders and corners too
    options = {"mode": mode, "padding_mode": padding, "align_corners": corners}
    agree(
        lambda x, at: F.grid_sample(x, at, **options),
        lambda x, at: TF.grid_sample(x, at, **options),
        [normal(2, 3, *SIZES[rank]), grid],
    )


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("corners", [False, True])
def test_affine_grid(rank: int, corners: bool) -> None:
    size = (2, 3, *SIZES[rank])
    agree(
        lambda theta: F.affine_grid(theta, size, corners),
        lambda theta: TF.affine_grid(theta, size, corners),
        [normal(2, rank, rank + 1)],
    )


def test_shuffles() -> None:
    agree_layers("PixelShuffle", {"upscale_factor": 3}, [normal(2, 18, 3, 4)])
    agree_layers("PixelUnshuffle", {"downscale_factor": 2}, [normal(2, 3, 6, 4)])
    agree_layers("ChannelShuffle", {"groups": 3}, [normal(2, 6, 3, 4)])


def test_convolution_in_time() -> None:
    arrays = [normal(7, 2, 3), normal(3, 3, 4), normal(4)]
    agree(lambda *x: engine.conv_tbc(*x, 1), lambda *x: torch.conv_tbc(*x, 1), arrays)


@pytest.mark.parametrize("name", ["conv2d", "conv_transpose1d"])
def test_whole_numbers(name: str) -> None:
    rank = int(name[-2])
    draw = np.random.default_rng(0).integers
    shapes = [(2, 4, *SIZES[rank]), (4, 4, *(3,) * rank), (4,)]
    arrays = [draw(-9, 9, shape) for shape in shapes]
    found = getattr(F, name)(*map(engine.tensor, arrays), stride=2)
    wanted = getattr(TF, name)(*map(torch.tensor, arrays), stride=2)
    assert found.dtype == engine.int64
    np.testing.assert_array_equal(found.numpy(), wanted.numpy())


PADS = ("Constant", "Zero", "Reflection", "Replication", "Circular")


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", PADS)
def test_padding_layers(rank: int, kind: str) -> None:
    name = f"{kind}Pad{rank}d"
    value = {"value": 2.5} if "value" in inspect.signature(getattr(nn, name)).parameters else {}
    for padding in (2, (1, 2, 0, 3, 2, 1)[: 2 * rank]):
        agree_layers(name, {"padding": padding, **value}, [normal(2, 3, *SIZES[rank])])


TOP = (
    *("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
    *("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "adaptive_avg_pool1d", "conv_tbc"),
    *("adaptive_max_pool1d", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle"),
)


@pytest.mark.parametrize("name", TOP)
def test_is_at_top_level_as_in_pytorch(name: str) -> None:
    assert callable(getattr(torch, name))
    assert callable(getattr(engine, name))
    assert name in engine.__all__


def test_top_level_adaptive_maxima_tell_positions() -> None:
    line = normal(2, 3, 11)
    agree(
        lambda x: engine.adaptive_max_pool1d(x, 4),
        lambda x: torch.adaptive_max_pool1d(x, 4),
        [line],
    )
