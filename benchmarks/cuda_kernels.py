"""Workloads in, the CUDA kernels of one step of each out, at the sizes of the benchmarks.

``python benchmarks/cuda_kernels.py`` compiles them for every architecture with NVVM and ``ptxas``,
which need no GPU, and says which of them spill registers or use local memory: none should. It exits
with 1 where one does. ``--network`` and ``--arch`` choose; equal kernels are compiled once.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass

import click
import networks
from tasks import make_optimizers, make_step
from workloads import batches, find

import engine as torch
from codegen.cuda.inspect import ARCHITECTURES, Resources, ptx_of, resources_of
from codegen.cuda.plan import plan_cuda
from codegen.cuda.source import Kernel, emit_kernel
from codegen.nest import Nest
from engine.program import Draft
from ir.passes import run_passes

NETWORKS = ("lenet", "mlp", "lstm", "transformer", "resnet")


@dataclass(frozen=True)
class Launch:
    """One kernel of a step: what it computes, its source, and how often a step runs it."""

    nest: Nest
    kernel: Kernel
    turns: int


def draft_of(name: str) -> Draft:
    """The training step of a workload as a program is made of it; nothing is run."""
    workload = find(name)
    model = networks.build(torch, workload)
    opts = make_optimizers(torch, workload, model)
    plain = make_step(torch, workload, model, opts, wrap=lambda part: part)
    x, y = batches(workload, 1)[0]
    return torch.jit(plain).draft(torch.from_numpy(x), torch.from_numpy(y))


def kernels_of(name: str) -> list[Launch]:
    """The kernels of a workload's step in launch order."""
    draft = draft_of(name)
    kernels = plan_cuda(run_passes(draft.graph), draft.donated)
    turns = [1] * len(kernels.nests)
    for loop in kernels.loops:
        for at in range(loop.first, loop.last):
            turns[at] = int(loop.turns)  # type: ignore[arg-type]
    return [Launch(n, emit_kernel(n), t) for n, t in zip(kernels.nests, turns, strict=True)]


def distinct(launches: list[Launch]) -> list[Launch]:
    """One launch of each kernel that is like no other but for the names of its buffers."""
    return list({_plain(launch.kernel): launch for launch in reversed(launches)}.values())[::-1]


def _plain(kernel: Kernel) -> str:
    """The source without comments, its arguments numbered."""
    text = re.sub(r"(?m)^#.*$", "", kernel.source)
    (arguments,) = re.findall(rf"def {kernel.name}\((.*)\)", text)
    for at, name in enumerate([kernel.name, *arguments.split(", ")]):
        text = re.sub(rf"\b{name}\b", f"argument_{at}", text)
    return text


def measure(launch: Launch, architecture: str) -> Resources:
    """What ``ptxas`` says of a kernel."""
    text = ptx_of(launch.kernel, architecture)
    return resources_of(text, launch.kernel.threads, architecture)


@click.command()
@click.option("--network", "chosen", multiple=True, type=click.Choice(NETWORKS))
@click.option("--arch", "archs", multiple=True, type=click.Choice(list(ARCHITECTURES)))
def main(chosen: tuple[str, ...], archs: tuple[str, ...]) -> None:
    """Compile every kernel of the benchmarks' steps."""
    failed = 0
    for name in chosen or NETWORKS:
        launches = kernels_of(name)
        unlike = distinct(launches)
        for architecture in archs or ARCHITECTURES:
            bad = 0
            registers, shared = 0, 0
            for launch in unlike:
                found = measure(launch, architecture)
                registers = max(registers, found.registers)
                shared = max(shared, found.shared)
                if found.spills or found.stack:
                    bad += 1
                    click.echo(f"{name} {architecture} {launch.kernel.name}: {found}")
            click.echo(
                f"{name} {architecture}: {len(launches)} kernels, {len(unlike)} distinct, {bad} "
                f"with spills or a stack; at most {registers} registers, {shared} bytes shared"
            )
            failed += bad
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
