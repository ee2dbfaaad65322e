"""Scheduled nests in, text that a person reads out.

A kernel is shown as equations (what every point computes) inside the loops that the schedule
chose (how the points are walked). Values used twice, and reductions, get a line of their own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from codegen import memory
from codegen.index import Index
from codegen.kernels import Kernels
from codegen.nest import (
    LANES,
    Apply,
    Condition,
    Const,
    Expr,
    Guard,
    Leaf,
    Load,
    Nest,
    Position,
    Reduce,
    SizeValue,
)
from codegen.patterns import library_of
from codegen.program import Program
from codegen.schedule import Schedule
from ir.interpret import bind_symbols
from ir.types import short

_INFIX = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "**", "and": "&", "or": "|", "xor": "^",
    "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
}  # fmt: skip
_ALONE = re.compile(r"(?<!\w)\((\w+)\)")  # parentheses around one name


def print_program(program: Program, shapes: Sequence[tuple[int, ...]], kernel: str = "") -> str:
    """Every kernel with its barrier, then the memory plan, for inputs of these shapes.

    ``kernel`` keeps those whose name contains it (and leaves the memory plan out).
    """
    plan = program.memory_plan([np.empty(shape, np.uint8) for shape in shapes])
    env = bind_symbols([buffer.shape for buffer in program.kernels.inputs], shapes)
    waits = program.barriers(env)
    parts = []
    for at, (schedule, wait) in enumerate(zip(program.plans, waits, strict=True)):
        if kernel in schedule.nest.name:
            barrier = "--- barrier: all threads finish the kernels above ---\n" if wait else ""
            before = _between(program.kernels, at)
            parts.append(f"{before}{barrier}[{at}] {print_kernel(schedule)}")
    if not kernel:
        parts += [text.rstrip() for text in [_between(program.kernels, len(waits))] if text]
    if not kernel:
        late = [
            f"copy {source.name} over {target.name}" for source, target in program.kernels.copies
        ]
        parts += ["\n".join(["after the last kernel:", *late])] if late else []
        parts.append("memory plan, phases counted by barriers\n" + memory.report(plan))
    return "\n\n".join(parts) + "\n"


def _between(kernels: Kernels, at: int) -> str:
    """What happens before kernel ``at``: calls of libraries, loops and turns that begin."""
    lines = [
        f"--- {call.result.name} = {call.node.op.name}("
        f"{', '.join(one.name for one in call.operands)}) by {library_of(call.node)} ---"
        for call in kernels.calls
        if call.before == at
    ]
    for loop in kernels.loops:
        if loop.first == at:
            lines.append(f"--- kernels {loop.first} to {loop.last - 1}: {loop.turns} turns ---")
    for first, count in kernels.groups:
        if first == at:
            lines.append(f"--- kernels {first} to {first + count - 1} take turns, a strip each ---")
    return "".join(f"{line}\n" for line in lines)


def print_kernel(plan: Schedule) -> str:
    """One kernel: what is fused, buffers with layouts, loops, equations."""
    nest = plan.nest
    written = {root.buffer for root in nest.roots}
    lines = [nest.name if nest.loc is None else f"{nest.name}  # {nest.loc}: {nest.loc.source}"]
    lines.append(f"  {nest.comment}")
    lines.append(f"  {plan.describe()}")
    reads = [buffer for buffer in nest.buffers if buffer in {load.buffer for load in nest.loads}]
    lines += [f"  {'updates' if b in written else 'reads'} {b}" for b in reads]
    lines += [f"  writes {root.buffer}" for root in nest.roots if root.buffer not in reads]
    for depth, loop in enumerate(_loops(plan)):
        lines.append("  " + "  " * depth + loop)
    inside = "  " * (len(_loops(plan)) + 1)
    return "\n".join([*lines, *(inside + line for line in equations(nest))])


def equations(nest: Nest) -> list[str]:
    """The values of one point, operands first; ``sum[r0, r1](...)`` reduces over axes."""
    roots = [root.value for root in nest.roots]
    order = _unique(roots)
    uses = Counter([*roots, *(arg for expr in order for arg in expr.args)])
    names: dict[Expr, str] = {}
    lines = []
    for expr in order:
        plain = isinstance(expr, Leaf | Load | Position)
        shared = uses[expr] > 1 and not plain
        if shared or (isinstance(expr, Reduce) and expr not in roots):
            text = expression(expr, names)
            names[expr] = f"t{len(names)}"
            lines.append(f"{names[expr]} = {_bare(text)}")
    for root in nest.roots:
        value = _bare(expression(root.value, names))
        lines.append(f"{_element(root.buffer.name, root.index)} = {value}")
    return [_ALONE.sub(r"\1", line) for line in lines]


def expression(expr: Expr, names: Mapping[Expr, str]) -> str:
    """``expr`` as text, with the parts that have a name by their names."""
    if expr in names:
        return names[expr]
    match expr:
        case Const():
            return f"{expr.value:.9g}" if isinstance(expr.value, float) else str(expr.value)
        case Load():
            return _element(expr.buffer.name, expr.index)
        case Position():
            return f"({expr.index})"
        case SizeValue():
            return str(expr.size)
        case Guard():
            where = " and ".join(_condition(c) for c in expr.conditions)
            body, fill = expression(expr.body, names), expression(expr.fill, names)
            return f"({body} if {where} else {fill})"
        case Reduce():
            axes = ", ".join(f"{axis}:{axis.extent}" for axis in expr.axes)
            return f"{expr.kind}[{axes}]({_bare(expression(expr.body, names))})"
        case Apply():
            args = [expression(arg, names) for arg in expr.args]
            if expr.op in _INFIX and len(args) == 2:
                return f"({args[0]} {_INFIX[expr.op]} {args[1]})"
            op = short(expr.dtype) if expr.op == "cast" else expr.op
            return f"{op}({', '.join(_bare(arg) for arg in args)})"
    raise TypeError(f"no text for {type(expr).__name__}")


def _loops(plan: Schedule) -> list[str]:
    """One line a loop, outermost first."""
    lines = []
    for at, axis in enumerate(plan.order):
        notes = []
        if axis == plan.vector:
            notes.append(f"{LANES} lanes")
        if plan.tile.get(axis, 1) > 1:
            unit = "vectors" if axis == plan.vector else "points"
            notes.append(f"register tile of {plan.tile[axis]} {unit}")
        if plan.by_batch and at == 0 and axis == plan.vector:
            notes.append("blocks shared among threads")
        lines.append(f"for {axis} in {axis.extent}:" + (f"  # {', '.join(notes)}" if notes else ""))
    if plan.reduces_lanes:
        lines.append(f"# {LANES} lanes run along {plan.vector} and are reduced at the end")
    return lines


def _unique(roots: Sequence[Expr]) -> list[Expr]:
    """Every distinct expression below ``roots``, operands first."""
    found: dict[Expr, None] = {}
    stack = [(root, False) for root in reversed(roots)]
    while stack:
        expr, ready = stack.pop()
        if expr in found:
            continue
        if ready:
            found[expr] = None
        else:
            stack.append((expr, True))
            stack.extend((arg, False) for arg in reversed(expr.args))
    return list(found)


def _condition(c: Condition) -> str:
    text = f"0 <= {c.index} < {c.size}"
    return text if c.divisor == 1 else f"{text} and ({c.index}) % {c.divisor} == 0"


def _element(name: str, index: Sequence[Index]) -> str:
    return f"{name}[{', '.join(map(str, index))}]" if index else name


def _bare(text: str) -> str:
    """Without the outermost parentheses, where they enclose everything."""
    if not text.startswith("(") or not text.endswith(")"):
        return text
    depth = 0
    for at, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0 and at < len(text) - 1:
            return text
    return text[1:-1]
