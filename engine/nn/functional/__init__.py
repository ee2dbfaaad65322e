"""Tensors and plain numbers in, tensors out: the layers' mathematics without their parameters.

Every function is a composition of the table's ops, so that it differentiates, traces and fuses
like anything else; none of them is an op of its own. Names, arguments and defaults are PyTorch's.
"""

from engine.nn.functional.activation import (
    dropout,
    log_softmax,
    one_hot,
    relu,
    sigmoid,
    softmax,
    tanh,
)
from engine.nn.functional.linear import conv2d, linear
from engine.nn.functional.loss import cross_entropy, mse_loss, nll_loss
from engine.nn.functional.normalization import batch_norm
from engine.nn.functional.pooling import avg_pool2d, max_pool2d

__all__ = [
    "avg_pool2d",
    "batch_norm",
    "conv2d",
    "cross_entropy",
    "dropout",
    "linear",
    "log_softmax",
    "max_pool2d",
    "mse_loss",
    "nll_loss",
    "one_hot",
    "relu",
    "sigmoid",
    "softmax",
    "tanh",
]
