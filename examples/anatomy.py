"""``tanh(x @ w + b)`` in, every form it takes on its way to machine code out, with its gradient.

    python examples/anatomy.py              # to read in a terminal
    python examples/anatomy.py --markdown   # the page docs/anatomy.md

Unlike the other examples this one looks behind ``engine``, at the compiler's own packages.
"""

from __future__ import annotations

import argparse
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

import engine as torch
from codegen.compile import compile_graph, dim_slots
from codegen.decisions import print_clusters
from codegen.native import emit_asm, host
from codegen.portable import emit_source
from codegen.printing import print_program
from codegen.program import Program
from codegen.vector import Module
from engine.program import Draft
from ir.grad import gradient
from ir.graph import Graph
from ir.interpret import interpret
from ir.passes import PIPELINE, run_passes
from ir.text import print_graph

ROWS, INNER, COLUMNS = 64, 32, 48


@torch.jit
def loss(x, w, b):
    scores = x @ w + b
    y = torch.tanh(scores)
    return y.sum()


@dataclass(frozen=True)
class Level:
    """One form of the program: what it is called, what to know, the form itself."""

    title: str
    prose: str
    text: str
    language: str = ""


def example_inputs() -> tuple[torch.Tensor, ...]:
    """A batch of rows, a weight matrix, a bias."""
    torch.manual_seed(0)
    return torch.randn(ROWS, INNER), torch.randn(INNER, COLUMNS) * 0.1, torch.zeros(COLUMNS)


def levels() -> Iterator[Level]:
    """Every form, from the user's code to the result."""
    inputs = example_inputs()
    arrays = [tensor.numpy() for tensor in inputs]
    draft = loss.draft(*inputs)
    whole = with_gradient(draft)
    graph = run_passes(whole)
    program = compile_graph(graph, batch_inputs=[0], name="anatomy")
    yield from graphs(draft, whole, graph)
    yield meaning(graph, arrays)
    yield from kernels(program, graph)
    yield result(program, graph, arrays)


def with_gradient(draft: Draft) -> Graph:
    """The traced value, and its derivatives by the weights and the bias."""
    value, (_, w, b) = draft.graph.outputs[0], draft.graph.inputs
    return Graph(
        draft.graph.inputs, (value, *gradient(value, [w, b])), ("x", "w", "b"), ("loss", "dw", "db")
    )


def graphs(draft: Draft, whole: Graph, graph: Graph) -> Iterator[Level]:
    """What the network says: as traced, differentiated, simplified."""
    source = textwrap.dedent(inspect.getsource(loss.function))
    yield Level("What the user writes", "PyTorch's names, and one decorator.", source, "python")
    yield Level(
        "Graph: what was asked for",
        "`engine` runs the function once over nodes instead of numbers. Every op has its type and "
        "the user's line beside it; broadcasting is an op like any other. The text parses back.",
        print_graph(draft.graph),
    )
    yield Level(
        "Gradient: a graph to graph function",
        "One rule for each op, written with the same ops: `tanh` gives `g * (1 - y * y)`, a dot "
        "gives two dots. The loss is a sum, so its cotangent is a one broadcast to every point.",
        print_graph(whole),
    )
    names = ", ".join(step.__name__ for step in PIPELINE)
    before, after = len(whole.nodes), len(graph.nodes)
    yield Level(
        f"Passes: {before} nodes become {after}",
        f"Pure functions from graph to graph, in rounds until nothing changes: {names}. IEEE "
        "arithmetic is respected: nothing is rewritten that a NaN or an infinity would give away.",
        print_graph(graph),
    )


def meaning(graph: Graph, arrays: list[np.ndarray]) -> Level:
    """The interpreter's value, and a finite difference against its gradient."""
    value, slope, _ = interpret(graph, arrays)
    moved = arrays[1].astype(np.float64)
    width = 1e-3
    ends = []
    for sign in (1, -1):
        moved[0, 0] = arrays[1][0, 0] + sign * width
        ends.append(np.tanh(arrays[0].astype(np.float64) @ moved + arrays[2]).sum())
    measured = (ends[0] - ends[1]) / (2 * width)
    text = (
        f"loss              {value:.6f}\n"
        f"dw[0, 0]          {slope[0, 0]:.6f}\n"
        f"finite difference {measured:.6f}\n"
    )
    return Level(
        "Interpreter: what it means",
        "NumPy evaluates the graph op by op. That is the specification: every compiled kernel is "
        "compared with it.",
        text,
    )


def kernels(program: Program, graph: Graph) -> Iterator[Level]:
    """How it is computed: fusion, loops, both spellings, machine code."""
    yield Level(
        "Clusters: what shares a kernel",
        "Every contraction and reduction is the core of a kernel; ops over the same points join "
        "it, and cheap ones are computed wherever they are read.",
        print_clusters(program),
    )
    yield Level(
        "Loops: how each kernel walks",
        "A nest says what every point stores; its schedule says which axis fills the vector lanes "
        "and how many points a register tile holds. Threads run all kernels side by side and meet "
        "only at the barriers. Intermediates share one arena.",
        print_program(program, [tuple(node.shape) for node in graph.inputs]),
    )
    plan = next(plan for plan in program.plans if "tanh" in plan.nest.name)
    yield Level(
        "Numba: the spelling to read",
        "Any kernel can be had as Numba source (`@jit(spelling='numba')` runs it).",
        emit_source(plan, plan.nest.name),
        "python",
    )
    module = Module([plan], dim_slots(graph))
    yield Level(
        "LLVM: the spelling that is fast",
        "The same nest with explicit vectors; here the innermost loop, a register tile of "
        "multiply-adds. No optimisation passes follow: this is what the code generator gets.",
        densest(module.text(), ("fmuladd", ".fma."), 32),
        "llvm",
    )
    assembly = emit_asm(module.text())
    yield Level(
        f"Assembly: the same loop on {host().cpu}",
        "What this CPU runs; the values of the tile stay in its vector registers.",
        densest(assembly, ("fmadd", "fmla"), 32),
        "asm",
    )


def densest(text: str, words: tuple[str, ...], count: int) -> str:
    """The ``count`` lines in a row that hold the most of ``words``: an inner loop.

    Long lines do not count: they hold vector constants, of the polynomial for ``tanh``.
    """
    lines = text.splitlines()
    hits = np.array([any(w in line for w in words) and len(line) < 140 for line in lines], int)
    window = np.convolve(hits, np.ones(count, int), mode="valid")
    first = int(window.argmax()) if window.size else 0
    about = f"lines {first + 1} to {min(first + count, len(lines))} of {len(lines)}"
    return "\n".join([f"; {about}", *lines[first:][:count]])


def result(program: Program, graph: Graph, arrays: list[np.ndarray]) -> Level:
    """The native run, held to the interpreter."""
    found, wanted = program.run([array.copy() for array in arrays]), interpret(graph, arrays)
    lines = []
    for node, name, one, other in zip(
        graph.outputs, graph.output_names, found, wanted, strict=True
    ):
        error = np.abs(one - other).max() / np.abs(other).max()
        lines.append(f"{name:5} {node.type!s:11} differs by {error:.0e} of the largest value")
    return Level(
        "Result: the native program against the interpreter",
        f"{len(program.plans)} kernels, one call. Sums run in another order and `tanh` is our own "
        "polynomial, so the last bits differ.",
        "\n".join(lines),
    )


def show(level: Level, number: int, markdown: bool) -> str:
    """A level as a section."""
    text = level.text.rstrip()
    if markdown:
        return f"## {number}. {level.title}\n\n{level.prose}\n\n```{level.language}\n{text}\n```\n"
    title = f"{number}. {level.title}"
    prose = textwrap.fill(level.prose, 88)
    return f"{title}\n{'=' * len(title)}\n{prose}\n\n{textwrap.indent(text, '    ')}\n"


def main(arguments: list[str] | None = None) -> None:
    """Print every level."""
    parser = argparse.ArgumentParser(description="Follow one expression through every level.")
    parser.add_argument("--markdown", action="store_true", help="as a page for docs/")
    options = parser.parse_args(arguments)
    if options.markdown:
        print("# Anatomy of one expression\n")
        print("This page is the output of `python examples/anatomy.py --markdown`, on one CPU.\n")
    for number, level in enumerate(levels(), 1):
        print(show(level, number, options.markdown))


if __name__ == "__main__":
    main()
