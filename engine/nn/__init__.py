"""PyTorch's building blocks by their own names: modules, parameters, losses, initialisations."""

from engine.nn import functional, init
from engine.nn.activation import Dropout, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from engine.nn.containers import ModuleList, Sequential
from engine.nn.convolution import Conv2d
from engine.nn.linear import Flatten, Identity, Linear
from engine.nn.loss import CrossEntropyLoss, MSELoss, NLLLoss
from engine.nn.module import Module
from engine.nn.normalization import BatchNorm2d
from engine.nn.parameter import Parameter
from engine.nn.pooling import AvgPool2d, MaxPool2d

__all__ = [
    "AvgPool2d",
    "BatchNorm2d",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "Identity",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "ModuleList",
    "NLLLoss",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "functional",
    "init",
]
