"""A step with its arguments in, the text of its CUDA kernels at one level out: no GPU is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import click

from codegen.cuda import Kernel, emit_kernel
from codegen.cuda.estimate import GPUS, Estimate, estimates, least_bytes, step_text
from codegen.cuda.inspect import ptx_of, resources_of
from codegen.cuda.plan import plan_cuda
from codegen.kernels import Kernels
from engine.cli.levels import Request
from ir.dims import symbols
from ir.passes import run_passes

_TITLES = ("kernel", "launches", "threads", "registers", "shared", "stack", "spills", "occupancy")
_BOUNDS = ("MFLOP", "KiB", "bound us", "by")


def cuda_text(request: Request) -> str:
    """Every kernel as a ``numba.cuda`` module."""
    return "\n\n".join(kernel.source.rstrip() for kernel in _kernels(request)) + "\n"


def ptx_text(request: Request) -> str:
    """Every kernel as PTX; no GPU is needed."""
    return "\n".join(ptx_of(kernel, request.architecture) for kernel in _kernels(request))


def resources_text(request: Request) -> str:
    """What each kernel takes of a multiprocessor, and the least time that a GPU needs for it."""
    kernels, gpu = _plan(request), GPUS[request.gpu]
    if any(symbols(size) for buffer in kernels.inputs for size in buffer.shape):
        raise click.UsageError("resources are estimated for known sizes")
    found = estimates(kernels, {}, gpu)
    rows = [[*_TITLES, *_BOUNDS]]
    rows += [
        [*_resources(kernel, one, request.architecture), *_bounds(one)]
        for kernel, one in zip(_kernels(request), found, strict=True)
    ]
    text = f"{request.architecture}\n{aligned(rows)}\n"
    whole = not request.kernel
    return text + (f"{step_text(found, least_bytes(kernels, {}), gpu)}\n" if whole else "")


def _resources(kernel: Kernel, one: Estimate, architecture: str) -> list[str]:
    ptx = ptx_of(kernel, architecture)
    taken = resources_of(ptx, kernel.threads, architecture)
    numbers = [one.launches, kernel.threads, taken.registers, taken.shared]
    numbers += [taken.stack, taken.spills]
    return [kernel.name, *map(str, numbers), f"{taken.occupancy:.0%}"]


def _bounds(one: Estimate) -> list[str]:
    flops, moved = one.launches * one.work.flops, one.launches * one.work.bytes
    micro = f"{one.seconds * 1e6:,.2f}"
    return [f"{flops / 1e6:,.2f}", f"{moved / 1024:,.1f}", micro, one.bound]


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows with the first column to the left, all others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        )
        for row in rows
    )


def _plan(request: Request) -> Kernels:
    """The kernels that are asked for, of the whole step's."""
    draft = request.draft
    kernels = plan_cuda(run_passes(draft.graph), draft.donated)
    if not request.kernel:
        return kernels
    chosen = [nest for nest in kernels.nests if request.kernel in nest.name]
    if not chosen:
        known = ", ".join(nest.name for nest in kernels.nests)
        raise click.UsageError(f"no kernel has {request.kernel!r} in its name: {known}")
    return replace(kernels, nests=tuple(chosen), loops=())


def _kernels(request: Request) -> list[Kernel]:
    precision = request.step.precision
    return [emit_kernel(nest, precision=precision) for nest in _plan(request).nests]


CUDA_LEVELS: Mapping[str, Callable[[Request], str]] = {
    "numba": cuda_text,
    "ptx": ptx_text,
    "resources": resources_text,
}
