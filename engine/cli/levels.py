"""A step with its arguments in, the text of each level out: one function for a level."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import click

from codegen.compile import compile_graph, dim_slots, plan_kernels
from codegen.decisions import print_clusters
from codegen.native import emit_asm
from codegen.portable import emit_source
from codegen.printing import print_program
from codegen.program import Program
from codegen.schedule import Schedule
from codegen.vector import Module
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
    gpu: str = "a100"  # whose data sheet bounds are estimated from

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


LEVELS: Mapping[str, Callable[[Request], str]] = {
    "graph": graph_text,
    "grad": grad_text,
    "clusters": clusters_text,
    "loops": loops_text,
    "numba": numba_text,
    "llvm": llvm_text,
    "asm": asm_text,
}
