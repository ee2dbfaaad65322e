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

FAR = 16  # nodes that are looked at on the way


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


def meets_later(fusion: Fusion, cluster: Cluster, node: Node) -> bool:
    """Whether what a reduction gives and what the kernel of rows makes of whole rows are put
    together later: then the row is there already."""
    assert cluster.rows is not None
    stack, seen = list(fusion.users[node]), set[Node]()
    while stack and len(seen) < FAR:
        user = stack.pop()
        if user in seen or user.op.family not in ("elementwise", "movement"):
            continue
        seen.add(user)
        if user.shape == cluster.rows.shape and _of_rows(fusion, cluster, user):
            return True
        stack += fusion.users[user]
    return False


def _of_rows(fusion: Fusion, cluster: Cluster, node: Node) -> bool:
    """Whether ``node`` is computed, in passing, from whole rows of the cluster."""
    stack, seen = list(node.inputs), set[Node]()
    while stack and len(seen) < FAR:
        source = stack.pop()
        if source in seen:
            continue
        seen.add(source)
        if source in cluster.members:
            if source.shape == node.shape:
                return True
        elif source not in fusion.member and source.op.name != "input":
            stack += source.inputs
    return False
