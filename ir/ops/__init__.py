"""The op table: every primitive by name, one row each, from the family files beside this one."""

from ir.ops import (
    composite,
    contraction,
    elementwise,
    factor,
    indexing,
    loop,
    movement,
    order,
    reduction,
    source,
)
from ir.table import Op, row_table

OPS: dict[str, Op] = row_table(
    source.ROWS,
    elementwise.ROWS,
    movement.ROWS,
    reduction.ROWS,
    contraction.ROWS,
    indexing.ROWS,
    order.ROWS,
    factor.ROWS,
    loop.ROWS,
    composite.ROWS,
)
