"""The operations that ops.py times: title, operands, and what is computed of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

IMAGES = (32, 64, 32, 32)
ROWS = (4096, 512)


@dataclass(frozen=True)
class OpCase:
    """``function(torch, functional, *operands)``; a shape is of floats, after a number of whole
    numbers below it."""

    title: str
    operands: tuple[tuple[int, ...] | tuple[int, tuple[int, ...]], ...]
    function: Callable[..., Any]

    def arrays(self, rng: np.random.Generator) -> list[Any]:
        """Random operands."""
        return [
            rng.integers(0, one[0], one[1])
            if len(one) == 2 and isinstance(one[1], tuple)
            else rng.standard_normal(one).astype(np.float32)
            for one in self.operands
        ]


def _one(title: str, shape: tuple[int, ...], function: Callable[..., Any]) -> OpCase:
    return OpCase(title, (shape,), function)


ELEMENTWISE = [
    _one(name, (1 << 21,), lambda t, f, x, name=name: getattr(f, name)(x))
    for name in ("gelu", "silu", "relu", "tanh", "sigmoid", "softplus", "leaky_relu")
]
ROWWISE = [
    _one("softmax", ROWS, lambda t, f, x: f.softmax(x, -1)),
    _one("log_softmax over channels", IMAGES, lambda t, f, x: f.log_softmax(x, 1)),
    _one("layer_norm", ROWS, lambda t, f, x: f.layer_norm(x, (512,))),
    _one("batch_norm", IMAGES, lambda t, f, x: f.batch_norm(x, None, None, training=True)),
    _one("group_norm", IMAGES, lambda t, f, x: f.group_norm(x, 8)),
    _one("normalize", ROWS, lambda t, f, x: f.normalize(x, dim=1)),
    _one("logsumexp", (4096, 1024), lambda t, f, x: t.logsumexp(x, 1)),
    _one("std", (4096, 1024), lambda t, f, x: x.std(1)),
    _one("max", (4096, 1024), lambda t, f, x: x.max(1)[0]),
    _one("mean of all", (4096, 1024), lambda t, f, x: (x * x).mean()),
    _one("cumsum", ROWS, lambda t, f, x: x.cumsum(1)),
    _one("sort", (1024, 512), lambda t, f, x: x.sort(1)[0]),
    _one("topk 10", (1024, 512), lambda t, f, x: x.topk(10, 1)[0]),
    _one("median", (1024, 512), lambda t, f, x: x.median(1)[0]),
    _one("kthvalue", (1024, 512), lambda t, f, x: x.kthvalue(100, 1)[0]),
    OpCase("cdist", ((1024, 64),) * 2, lambda t, f, x, y: t.cdist(x, y)),
]
LOSSES = [
    OpCase(
        f"cross_entropy {rows} x {classes}",
        ((rows, classes), (classes, (rows,))),
        lambda t, f, x, y: f.cross_entropy(x, y),
    )
    for rows, classes in ((2048, 1000), (128, 32000))
]
LOSSES += [
    OpCase(
        "cross_entropy of pixels",
        ((8, 21, 64, 64), (21, (8, 64, 64))),
        lambda t, f, x, y: f.cross_entropy(x, y),
    ),
    _one("mse_loss", (1 << 21,), lambda t, f, x: f.mse_loss(x, x * 0.5 + 1)),
    _one(
        "binary_cross_entropy_with_logits",
        (1 << 20,),
        lambda t, f, x: f.binary_cross_entropy_with_logits(x, (x > 0) * 1.0),
    ),
]
PRODUCTS = [
    _one("x @ x", (512, 512), lambda t, f, x: x @ x),
    OpCase("x @ y.T of two batches", ((512, 256),) * 2, lambda t, f, x, y: x @ y.T),
    _one("batched x @ x.T", (16, 512, 64), lambda t, f, x: x @ x.transpose(1, 2)),
    *(
        OpCase(
            f"linear {rows} x {inner} x {outer}",
            ((rows, inner), (outer, inner)),
            lambda t, f, x, w: f.linear(x, w),
        )
        for rows, inner, outer in ((1, 1024, 1024), (7, 1024, 1024), (512, 1024, 1024))
    ),
    OpCase(
        "attention 8 x 4 x 512 x 32",
        ((8, 4, 512, 32),) * 3,
        lambda t, f, q, k, v: f.scaled_dot_product_attention(q, k, v, is_causal=True),
    ),
]


def _conv(title: str, x: tuple[int, ...], w: tuple[int, ...], **how: int) -> OpCase:
    name = "conv2d" if len(x) == 4 else f"conv{len(x) - 2}d"
    return OpCase(title, (x, w), lambda t, f, a, b: getattr(f, name)(a, b, **how))


CONVOLUTIONS = [
    _conv("conv 3x3", (16, 64, 32, 32), (64, 64, 3, 3), padding=1),
    _conv("conv 1x1", (16, 64, 32, 32), (128, 64, 1, 1)),
    _conv("conv 5x5", (16, 16, 32, 32), (32, 16, 5, 5), padding=2),
    _conv("conv 7x7, stride 2", (8, 3, 96, 96), (32, 3, 7, 7), stride=2, padding=3),
    _conv("conv 3x3, stride 2", (16, 32, 32, 32), (64, 32, 3, 3), stride=2, padding=1),
    _conv("conv 3x3, depthwise", (16, 64, 32, 32), (64, 1, 3, 3), padding=1, groups=64),
    _conv("conv 3x3, 4 groups", (16, 64, 32, 32), (64, 16, 3, 3), padding=1, groups=4),
    _conv("conv 3x3, dilation 2", (16, 32, 32, 32), (32, 32, 3, 3), padding=2, dilation=2),
    _conv("conv 3x3, one image", (1, 32, 64, 64), (32, 32, 3, 3), padding=1),
    _conv("conv1d 5", (16, 64, 512), (64, 64, 5), padding=2),
    _conv("conv3d 3x3x3", (4, 8, 16, 16, 16), (16, 8, 3, 3, 3), padding=1),
    OpCase(
        "conv_transpose2d 4x4, stride 2",
        ((16, 64, 16, 16), (64, 32, 4, 4)),
        lambda t, f, x, w: f.conv_transpose2d(x, w, stride=2, padding=1),
    ),
    _one("max_pool2d 2", IMAGES, lambda t, f, x: f.max_pool2d(x, 2)),
    _one("max_pool2d 3, stride 2", IMAGES, lambda t, f, x: f.max_pool2d(x, 3, 2, 1)),
    _one("avg_pool2d 2", IMAGES, lambda t, f, x: f.avg_pool2d(x, 2)),
    _one(
        "interpolate, bilinear",
        (8, 32, 32, 32),
        lambda t, f, x: f.interpolate(x, scale_factor=2, mode="bilinear"),
    ),
]
MOVEMENT = [
    OpCase(
        "embedding",
        ((10000, 128), (10000, (64, 128))),
        lambda t, f, w, x: f.embedding(x, w),
    ),
    OpCase("gather", ((2048, 512), (512, (2048, 64))), lambda t, f, x, i: t.gather(x, 1, i)),
    OpCase("rows by number", ((4096, 64), (4096, (8192,))), lambda t, f, x, i: x[i]),
    _one("permuted", IMAGES, lambda t, f, x: x.permute(0, 2, 3, 1).contiguous() * 1),
    _one("concatenated", (2048, 512), lambda t, f, x: t.cat([x, x * 2], 1)),
    _one("flipped", ROWS, lambda t, f, x: x.flip(1) * 1),
]
CASES: list[OpCase] = [
    *(*ELEMENTWISE, *ROWWISE, *LOSSES, *PRODUCTS),
    *(*CONVOLUTIONS, *MOVEMENT),
]
