"""A step with its arguments in, the text of each level out: one function for a level."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import click

from codegen.compile import compile_graph, dim_slots, plan_kernels
from codegen.cuda import Kernel, emit_kernel
from codegen.cuda.inspect import ptx_of, resources_of
from codegen.cuda.plan import plan_cuda
from codegen.decisions import print_clusters
from codegen.native import emit_asm
from codegen.nest import Nest
from codegen.portable import emit_source
from codegen.printing import print_program
from codegen.program import Program
from codegen.schedule import Schedule
from codegen.vector import Module
from codegen.work import work_of
from engine.errors import AutogradError, message
from engine.jit import Step, batch_inputs
from engine.program import Draft
from ir.grad import gradient
from ir.graph import Graph
from ir.passes import run_passes
from ir.text import print_graph
from ir.types import is_float


@dataclass(frozen=True)
class Request:
    """What to show: a step, the arguments to trace it with, which kernels."""

    step: Step
    arguments: tuple[Any, ...]
    kernel: str = ""
    architecture: str = "sm_80"  # of a GPU

    @cached_property
    def draft(self) -> Draft:
        return self.step.draft(*self.arguments)

    @cached_property
    def program(self) -> Program:
        draft = self.draft
        return compile_graph(
            draft.graph,
            draft.donated,
            batch_inputs(draft),
            self.step.name,
            precision=self.step.precision,
        )

    def plans(self) -> list[Schedule]:
        """The kernels asked for; a usage error where no name contains the filter."""
        found = [plan for plan in self.program.plans if self.kernel in plan.nest.name]
        if not found:
            known = ", ".join(plan.nest.name for plan in self.program.plans)
            raise click.UsageError(f"no kernel has {self.kernel!r} in its name: {known}")
        return found


def graph_text(request: Request) -> str:
    """The ops as they were traced, before any pass."""
    return print_graph(request.draft.graph)


def grad_text(request: Request) -> str:
    """After the passes: a training step as it is, a scalar function followed by its gradient."""
    draft = request.draft
    graph = draft.graph if draft.donated or draft.grads else differentiated(draft.graph)
    return print_graph(run_passes(graph))


def differentiated(graph: Graph) -> Graph:
    """The value of a scalar function and its derivative by every float input."""
    value = graph.outputs[0]
    if value.shape != () or not is_float(value.dtype):
        raise AutogradError(
            message(
                value.loc,
                f"grad needs a scalar float, and the first result is {value.type}",
                "return a loss: y.sum() or y.mean()",
            )
        )
    wrt = [node for node in graph.inputs if is_float(node.dtype)]
    names = [f"d_{node.attrs['name']}" for node in wrt]
    return Graph(graph.inputs, (value, *gradient(value, wrt)), graph.input_names, ("value", *names))


def clusters_text(request: Request) -> str:
    """Fusion: what shares a kernel, why, and at what cost."""
    request.plans()
    return print_clusters(request.program, request.kernel)


def loops_text(request: Request) -> str:
    """Kernels in launch order, barriers between them, the memory plan."""
    request.plans()
    shapes = [tuple(node.shape) for node in request.draft.graph.inputs]
    return print_program(request.program, shapes, request.kernel)


def numba_text(request: Request) -> str:
    """Every kernel as a Numba module."""
    request.plans()
    draft = request.draft
    dims = dim_slots(draft.graph)
    _, plans = plan_kernels(
        run_passes(draft.graph), draft.donated, batch_inputs(draft), spelling="numba"
    )
    chosen = [plan for plan in plans if request.kernel in plan.nest.name]
    parts = [emit_source(plan, plan.nest.name, dims) for plan in chosen]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def llvm_text(request: Request) -> str:
    """The vector kernels as LLVM text; equal kernels share one function."""
    return _contents(request, "; ") + _module(request).text() + "\n"


def asm_text(request: Request) -> str:
    """The vector kernels as assembly for this CPU."""
    return _contents(request, "# ") + emit_asm(_module(request).text())


def _module(request: Request) -> Module:
    return Module(request.plans(), dim_slots(request.draft.graph))


def _contents(request: Request, mark: str) -> str:
    """Which function is which kernel: their symbols are digests of what they compute."""
    names, plans = _module(request).names, request.plans()
    rows = [f"{name} = {plan.nest.name}" for name, plan in zip(names, plans, strict=True)]
    return "".join(f"{mark}{row}\n" for row in rows) + "\n"


def cuda_text(request: Request) -> str:
    """Every kernel as a ``numba.cuda`` module."""
    return "\n\n".join(kernel.source.rstrip() for kernel in _cuda_kernels(request)) + "\n"


def ptx_text(request: Request) -> str:
    """Every kernel as PTX; no GPU is needed."""
    kernels = _cuda_kernels(request)
    return "\n".join(ptx_of(kernel, request.architecture) for kernel in kernels)


def resources_text(request: Request) -> str:
    """What each kernel takes of a multiprocessor, and what it moves at least."""
    rows = [["kernel", "threads", "registers", "shared", "stack", "spills", "occupancy", "KiB"]]
    for kernel, nest in zip(_cuda_kernels(request), _cuda_nests(request), strict=True):
        found = resources_of(
            ptx_of(kernel, request.architecture), kernel.threads, request.architecture
        )
        moved = work_of(nest, {}).bytes / 1024 if not kernel.symbols else float("nan")
        cells = [kernel.threads, found.registers, found.shared, found.stack, found.spills]
        rows.append([kernel.name, *map(str, cells), f"{found.occupancy:.0%}", f"{moved:,.1f}"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in rows
    ]
    return f"{request.architecture}\n" + "\n".join(lines) + "\n"


def _cuda_nests(request: Request) -> list[Nest]:
    draft = request.draft
    nests = plan_cuda(run_passes(draft.graph), draft.donated).nests
    chosen = [nest for nest in nests if request.kernel in nest.name]
    if not chosen:
        known = ", ".join(nest.name for nest in nests)
        raise click.UsageError(f"no kernel has {request.kernel!r} in its name: {known}")
    return chosen


def _cuda_kernels(request: Request) -> list[Kernel]:
    return [emit_kernel(nest) for nest in _cuda_nests(request)]


CUDA_LEVELS: Mapping[str, Callable[[Request], str]] = {
    "numba": cuda_text,
    "ptx": ptx_text,
    "resources": resources_text,
}
LEVELS: Mapping[str, Callable[[Request], str]] = {
    "graph": graph_text,
    "grad": grad_text,
    "clusters": clusters_text,
    "loops": loops_text,
    "numba": numba_text,
    "llvm": llvm_text,
    "asm": asm_text,
}
