"""Parameters and their gradients in, better parameters out: PyTorch's optimizers by name."""

from engine.optim import lr_scheduler, swa_utils
from engine.optim.adafactor import Adafactor
from engine.optim.adam import Adam, AdamW
from engine.optim.adam_family import Adamax, Lion, NAdam, RAdam
from engine.optim.classic import ASGD, Rprop
from engine.optim.lbfgs import LBFGS
from engine.optim.muon import Muon
from engine.optim.optimizer import Optimizer
from engine.optim.scaled import Adadelta, Adagrad, RMSprop
from engine.optim.sgd import SGD

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "lr_scheduler",
    "swa_utils",
]
