"""Kernels and a GPU's data sheet in, the least time that each can take out.

The roofline's bound: no kernel is faster than its arithmetic at the peak rate, or than its bytes
(each element read once and written once) at the memory's bandwidth. It is an estimate of what is
possible, not of what is: occupancy, latency and launches only ever add to it. What the L2 cache
holds from one kernel to the next can make a step faster than the sum of its memory bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from codegen.kernels import Kernels
from codegen.work import Work, work_of
from ir.dims import evaluate


@dataclass(frozen=True)
class Gpu:
    """A GPU by its data sheet: operations and bytes a second, multiprocessors, bytes of L2.

    ``tf32`` is the dense rate of the tensor cores.
    """

    name: str
    architecture: str
    f32: float
    tf32: float
    f64: float
    bandwidth: float
    processors: int
    l2: int
    source: str


MIB = 1 << 20
GPUS = {
    "a100": Gpu(
        "A100 SXM 80 GB", "sm_80", 19.5e12, 156e12, 9.7e12, 2.039e12, 108, 40 * MIB,
        "NVIDIA A100 Tensor Core GPU data sheet; A100 architecture white paper",
    ),
    "h100": Gpu(
        "H100 SXM 80 GB", "sm_90", 66.9e12, 494.7e12, 33.5e12, 3.35e12, 132, 50 * MIB,
        "NVIDIA H100 Tensor Core GPU data sheet; H100 architecture white paper",
    ),
    "h200": Gpu(
        "H200 SXM 141 GB", "sm_90", 66.9e12, 494.7e12, 33.5e12, 4.8e12, 132, 50 * MIB,
        "NVIDIA H200 Tensor Core GPU data sheet",
    ),
    "rtx5090": Gpu(
        "GeForce RTX 5090", "sm_120", 104.8e12, 104.8e12, 1.64e12, 1.792e12, 170, 96 * MIB,
        "NVIDIA RTX Blackwell GPU architecture white paper",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Estimate:
    """One kernel of a step: ``work`` of one launch, the least ``seconds`` of all ``launches``."""

    kernel: str
    launches: int
    work: Work
    seconds: float
    bound: str  # "compute" or "memory"


def estimates(kernels: Kernels, env: Mapping[str, int], gpu: Gpu) -> list[Estimate]:
    """The bound of every kernel, in launch order, for the symbols' values in ``env``."""
    turns = [1] * len(kernels.nests)
    for loop in kernels.loops:
        turns[loop.first : loop.last] = [evaluate(loop.turns, env)] * (loop.last - loop.first)
    found = []
    for nest, launches in zip(kernels.nests, turns, strict=True):
        work = work_of(nest, env)
        compute = (work.flops - work.doubles) / gpu.f32 + work.doubles / gpu.f64
        memory = work.bytes / gpu.bandwidth
        bound = "compute" if compute > memory else "memory"
        found.append(Estimate(nest.name, launches, work, launches * max(compute, memory), bound))
    return found


def least_bytes(kernels: Kernels, env: Mapping[str, int]) -> int:
    """What a step moves if each input is read once, each output written once, and nothing else."""
    states = {*kernels.inputs}
    places = [*states, *(buffer for buffer in kernels.outputs if buffer not in states)]
    written = {*(target for _, target in kernels.copies), *kernels.outputs} & states
    total = 0
    for buffer in [*places, *written]:
        count = buffer.dtype.itemsize
        for size in buffer.shape:
            count *= evaluate(size, env)
        total += count
    return total


def step_text(found: list[Estimate], least: int, gpu: Gpu) -> str:
    """The whole step in one line, for people."""
    launches = sum(one.launches for one in found)
    flops = sum(one.launches * one.work.flops for one in found)
    moved = sum(one.launches * one.work.bytes for one in found)
    seconds = sum(one.seconds for one in found)
    return (
        f"{len(found)} kernels, {launches} launches, {flops / 1e6:,.1f} MFLOP, "
        f"{moved / 1024:,.1f} KiB moved ({moved / max(least, 1):.2f} times the least); "
        f"at least {seconds * 1e6:,.1f} us on {gpu.name} ({gpu.source})"
    )
