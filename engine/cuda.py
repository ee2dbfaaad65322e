"""``torch.cuda``'s questions in, honest answers out: tensors live on the CPU so far.

Kernels have a CUDA spelling (``tracefuse compile --target cuda``), which is checked in Numba's
simulator and by NVVM; what is missing is a runtime that keeps tensors on a device.
"""

from __future__ import annotations

__all__ = ["device_count", "is_available"]


def is_available() -> bool:
    """Whether tensors can lie on a GPU: not yet, so that scripts which ask go on on the CPU."""
    return False


def device_count() -> int:
    """How many GPUs tensors can lie on."""
    return 0
