"""Networks at their benchmark sizes in, a page of what their CUDA kernels ask of a GPU out.

    python benchmarks/cuda_kernels.py [--networks lenet,mlp] [--page docs/cuda-kernels.md]

Every kernel of a training step is compiled to PTX through NVVM and assembled by ptxas for each
architecture; no GPU is needed. Kernels that differ in names only are compiled once.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networks
from tasks import make_optimizers, make_step
from workloads import batches, find

import engine
from codegen.cuda import Kernel, emit_kernel
from codegen.cuda.compiled import digest_of
from codegen.cuda.estimate import GPUS, Estimate, estimates, least_bytes
from codegen.cuda.inspect import Resources, ptx_of, resources_of
from codegen.cuda.plan import plan_cuda
from ir.passes import run_passes

NAMES = ("lenet", "mlp", "transformer", "lstm", "resnet")
SHOWN = ("a100", "h100", "rtx5090")
LONGEST = 8  # kernels of each network that are listed one by one
PAGE = Path(__file__).resolve().parents[1] / "docs" / "cuda-kernels.md"


@dataclass(frozen=True)
class Network:
    """One step: kernels with their estimates for each GPU, and the bytes that it must move."""

    title: str
    kernels: list[Kernel]
    bounds: dict[str, list[Estimate]]
    least: int


def draft_of(name: str) -> Any:
    """The training step of a workload, traced."""
    workload = find(name)
    model = networks.build(engine, workload)
    opts = make_optimizers(engine, workload, model)
    step = engine.jit(make_step(engine, workload, model, opts, lambda part: part), name=name)
    x, y = batches(workload, 1)[0]
    return step.draft(engine.from_numpy(x), engine.from_numpy(y))


def network_of(name: str) -> Network:
    """The kernels of a workload's step."""
    draft = draft_of(name)
    kernels = plan_cuda(run_passes(draft.graph), draft.donated)
    bounds = {key: estimates(kernels, {}, GPUS[key]) for key in SHOWN}
    title = f"{find(name).title}, batch {find(name).batch}"
    sources = [emit_kernel(nest) for nest in kernels.nests]
    return Network(title, sources, bounds, least_bytes(kernels, {}))


def compile_one(job: tuple[str, Kernel, str]) -> tuple[str, str, Resources]:
    """The resources of one kernel for one GPU's architecture."""
    digest, kernel, key = job
    architecture = GPUS[key].architecture
    return digest, key, resources_of(ptx_of(kernel, architecture), kernel.threads, architecture)


def compile_all(found: Sequence[Network], processes: int) -> dict[tuple[str, str], Resources]:
    """The resources of every distinct kernel for every GPU."""
    distinct = {digest_of(kernel): kernel for network in found for kernel in network.kernels}
    jobs = [(digest, kernel, key) for digest, kernel in distinct.items() for key in SHOWN]
    total = sum(len(network.kernels) for network in found)
    say(f"{len(distinct)} distinct kernels of {total}, for {', '.join(SHOWN)}")
    taken: dict[tuple[str, str], Resources] = {}
    started = time.perf_counter()
    with ProcessPoolExecutor(processes) as pool:
        for at, (digest, key, resources) in enumerate(pool.map(compile_one, jobs, chunksize=4), 1):
            taken[digest, key] = resources
            if at % 50 == 0 or at == len(jobs):
                say(f"  {at} of {len(jobs)} in {time.perf_counter() - started:.0f} s")
    return taken


def page(found: Sequence[Network], taken: dict[tuple[str, str], Resources]) -> str:
    """The page as Markdown."""
    parts = [HEAD, summary(found, taken)]
    parts += [section(network, taken) for network in found]
    sources = "\n".join(f"- {gpu.name}: {gpu.source}." for gpu in map(GPUS.get, SHOWN) if gpu)
    return "\n".join([*parts, TAIL, sources]) + "\n"


def summary(found: Sequence[Network], taken: dict[tuple[str, str], Resources]) -> str:
    """One row for each network."""
    names = " | ".join(f"{GPUS[key].name}, at least us" for key in SHOWN)
    rows = [
        "| step | kernels | launches | MFLOP | MiB moved | of the least | spills | stack | "
        f"{names} |",
        f"| --- |{' ---: |' * (7 + len(SHOWN))}",
    ]
    for network in found:
        first = network.bounds[SHOWN[0]]
        launches = sum(one.launches for one in first)
        flops = sum(one.launches * one.work.flops for one in first)
        moved = sum(one.launches * one.work.bytes for one in first)
        all_taken = [taken[digest_of(k), key] for k in network.kernels for key in SHOWN]
        spills, stack = (max(getattr(r, part) for r in all_taken) for part in ("spills", "stack"))
        least = [f"{sum(one.seconds for one in network.bounds[key]) * 1e6:,.1f}" for key in SHOWN]
        cells = [network.title, str(len(first)), str(launches), f"{flops / 1e6:,.1f}"]
        cells += [f"{moved / 2**20:,.2f}", f"{moved / network.least:.2f}", str(spills), str(stack)]
        rows.append(f"| {' | '.join([*cells, *least])} |")
    return "\n".join(rows) + "\n"


def section(network: Network, taken: dict[tuple[str, str], Resources]) -> str:
    """The kernels of one network that have the largest bounds on the first GPU, and the others."""
    first = network.bounds[SHOWN[0]]
    order = sorted(range(len(first)), key=lambda at: -first[at].seconds)
    archs = " / ".join(GPUS[key].architecture for key in SHOWN)
    rows = [
        f"\n## {network.title}\n",
        f"| kernel | launches | threads | registers, {archs} | shared, bytes | occupancy | MFLOP "
        f"| KiB | {GPUS[SHOWN[0]].name}, us | by |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    rows += [row(network, at, taken) for at in order[:LONGEST]]
    rest = [first[at] for at in order[LONGEST:]]
    if rest:
        flops, moved, seconds = (
            sum(one.launches * one.work.flops for one in rest),
            sum(one.launches * one.work.bytes for one in rest),
            sum(one.seconds for one in rest),
        )
        rows.append(
            f"| {len(rest)} others | {sum(one.launches for one in rest)} | | | | "
            f"{occupancies(network, order[LONGEST:], taken)} | {flops / 1e6:,.2f} | "
            f"{moved / 1024:,.1f} | {seconds * 1e6:,.2f} | |"
        )
    return "\n".join(rows)


def row(network: Network, at: int, taken: dict[tuple[str, str], Resources]) -> str:
    """One kernel."""
    kernel, one = network.kernels[at], network.bounds[SHOWN[0]][at]
    each = [taken[digest_of(kernel), key] for key in SHOWN]
    return (
        f"| `{kernel.name}` | {one.launches} | {kernel.threads} | "
        f"{' / '.join(str(r.registers) for r in each)} | {max(r.shared for r in each)} | "
        f"{occupancies(network, [at], taken)} | {one.launches * one.work.flops / 1e6:,.2f} | "
        f"{one.launches * one.work.bytes / 1024:,.1f} | {one.seconds * 1e6:,.2f} | {one.bound} |"
    )


def occupancies(
    network: Network, places: Sequence[int], taken: dict[tuple[str, str], Resources]
) -> str:
    """The least and the most of these kernels on any of the GPUs."""
    found = [taken[digest_of(network.kernels[at]), key].occupancy for at in places for key in SHOWN]
    low, high = min(found), max(found)
    return f"{low:.0%}" if low == high else f"{low:.0%} to {high:.0%}"


def say(text: str) -> None:
    """Progress, at once."""
    print(text, file=sys.stderr, flush=True)


HEAD = """\
# What the CUDA kernels ask of a GPU

`benchmarks/cuda_kernels.py` writes this page, on a machine without a GPU: the training steps of
[the benchmark](benchmarks.md), every kernel compiled by NVVM and `ptxas`. Bytes are what a kernel
must move (each element read once and written once); *of the least* is what all kernels move against
a step that reads each input once, writes each output once and stores nothing between. Times are
bounds by the data sheet (arithmetic at the float32 peak, or bytes at the memory's bandwidth,
whichever is longer), summed over the kernels: what no step of these kernels can beat unless the L2
cache holds intermediates, not what they take. Spills and stack are the most bytes of any thread.
"""
TAIL = """
Registers are a thread's, for each of the architectures; shared memory is a block's; occupancy is
the share of a multiprocessor's threads that fit at once, over the three. Peaks and bandwidths are
from:
"""


def main() -> None:
    """Compile, and write the page or print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", default=",".join(NAMES))
    parser.add_argument("--page", type=Path, help=f"to write, as {PAGE.name}; else printed")
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    found = [network_of(name) for name in given.networks.split(",")]
    text = page(found, compile_all(found, given.processes))
    if given.page is None:
        print(text)
    else:
        given.page.write_text(text)


if __name__ == "__main__":
    main()
