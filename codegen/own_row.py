"""A node that would join a kernel of rows in, whether it reads what is of its own row out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codegen.cluster import Cluster, Places
from codegen.index import ZERO, of_axis
from codegen.lower import Lowering
from codegen.nest import Buffer, Load, Reduce, walk
from ir.graph import Node

if TYPE_CHECKING:
    from codegen.fuse import Fusion


def reads_own_row(fusion: Fusion, cluster: Cluster, node: Node, places: Places) -> bool:
    """Whether ``node``, its elements at ``places``, reads no other row's of the kernel's values."""
    known = (*fusion.graph.inputs, *fusion.member)
    probes = {n: Buffer("probe", n.dtype, n.shape) for n in known}
    assert cluster.rows is not None
    probe = Lowering(probes, rows={node: cluster.rows.within})
    index = tuple(ZERO if p is None else of_axis(p) for p in places)
    owner = {buffer: n for n, buffer in probes.items()}
    for expr in walk([probe.element(node, index)]):
        if isinstance(expr, Reduce) and expr.axes != cluster.rows.within:
            return False
        if isinstance(expr, Load):
            own = cluster.members.get(owner[expr.buffer])
            if own is None:
                continue
            if expr.index != tuple(ZERO if p is None else of_axis(p) for p in own):
                return False
    return True
