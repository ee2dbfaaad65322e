"""``torch.cuda``'s questions in, answers about the one GPU that a process uses out.

Nothing here needs a GPU to be asked: ``is_available()`` is False where there is none, and what
needs one says why there is none. In Numba's simulator (NUMBA_ENABLE_CUDASIM=1) a simulated device
is there: slow, for tests.
"""

from __future__ import annotations

from typing import Any

from engine.device import device, home_of, no_cuda, runtime
from engine.random import Generator, manual_seed

__all__ = [
    "current_device",
    "device_count",
    "empty_cache",
    "get_device_capability",
    "get_device_name",
    "is_available",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "reset_peak_memory_stats",
    "set_device",
    "synchronize",
    "why_not",
]


def is_available() -> bool:
    """Whether tensors can lie on a GPU: a device, NVIDIA's driver and numba-cuda are there."""
    return not no_cuda()


def why_not() -> str:
    """Why tensors cannot lie on a GPU, with the remedy; empty where they can."""
    return no_cuda()


def device_count() -> int:
    """How many GPUs tensors can lie on: one, or none. CUDA_VISIBLE_DEVICES chooses which."""
    return 1 if is_available() else 0


def current_device() -> int:
    """The number of the GPU; RuntimeError where there is none."""
    home_of("cuda")
    return 0


def set_device(device: Any) -> None:
    """Take the GPU ``device``, which must be the first; RuntimeError otherwise."""
    home_of(device)


def get_device_name(device: Any = None) -> str:
    """What the GPU is called."""
    name: str = _device(device).driver.name
    return name


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """Its generation, as (8, 0)."""
    major, minor = _device(device).driver.facts()["capability"]
    return major, minor


def synchronize(device: Any = None) -> None:
    """Wait for everything that was asked of the GPU."""
    _device(device).synchronize()


def memory_allocated(device: Any = None) -> int:
    """Bytes that tensors and programs hold on the GPU."""
    pool = _device(device).pool
    pool.settle()
    return int(pool.used)


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes that they ever held, since ``reset_peak_memory_stats``."""
    return int(_device(device).pool.most)


def reset_peak_memory_stats(device: Any = None) -> None:
    """Count the most bytes from now on."""
    pool = _device(device).pool
    pool.settle()
    pool.most = pool.used


def memory_reserved(device: Any = None) -> int:
    """Bytes taken from the GPU, with those that are kept to be used again."""
    return int(_device(device).pool.reserved)


def empty_cache() -> None:
    """Give what is kept to be used again back to the GPU; nothing where there is none."""
    if is_available():
        runtime().pool.empty()


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Free bytes of the GPU, and all of them."""
    facts = _device(device).driver.facts()
    return facts["free"], facts["total"]


def manual_seed_all(seed: int) -> Generator:
    """Seed the stream that everything draws from: it is one for all devices."""
    return manual_seed(seed)


def _device(asked: device | int | str | None) -> Any:
    home_of("cuda" if asked is None else asked)
    return runtime()
