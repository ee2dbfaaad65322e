"""``torch.utils.data`` in, ``engine.data`` out: the same names under PyTorch's path."""

from engine.data import *  # noqa: F403
from engine.data import __all__  # noqa: F401
