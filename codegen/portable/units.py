"""A schedule in, the number of units that threads share out, as an expression of the sizes."""

from __future__ import annotations

from codegen.nest import LANES
from codegen.portable.names import Names, size_text
from codegen.schedule import Schedule
from codegen.vector.spans import spans
from ir.dims import evaluate


def shared_units(plan: Schedule, names: Names) -> str:
    """The number of tiles that threads share, as an expression of the sizes.

    It is the vector spelling's number (``codegen.vector.kernel.units``), so that one driver and
    one plan of barriers serve both.
    """
    fixed, moving = 1, list[str]()
    for axis in plan.order:
        if isinstance(axis.extent, int):
            tiles = spans(axis, plan.tile[axis], axis == plan.vector)
            fixed *= sum(evaluate(span.count, {}) for span in tiles)
        else:
            count = size_text(axis.extent, names.sizes)
            in_vectors = axis == plan.vector
            moving.append(f"(({count} + {LANES - 1}) // {LANES})" if in_vectors else count)
    return " * ".join([*([str(fixed)] if fixed != 1 or not moving else []), *moving])
