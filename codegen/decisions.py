"""A program in, the compiler's decisions about fusion out, with their reasons and costs.

Costs are what the cost model sees: operations counted in multiplications, and the sizes of the
buffers that a kernel touches. They are estimates, not measurements.
"""

from __future__ import annotations

from codegen.cluster import Cluster
from codegen.fuse import Fusion
from codegen.nest import Nest
from codegen.patterns import library_of
from codegen.program import Program
from ir.dims import Size, product
from ir.graph import Node


def print_clusters(program: Program, kernel: str = "") -> str:
    """Which nodes share a kernel and why, what each kernel costs, and what is never stored.

    ``kernel`` keeps the kernels whose name contains it.
    """
    fusion = program.kernels.fusion
    nests = {plan.nest.name.split("_")[0]: plan.nest for plan in program.plans}
    computed = [c for c in fusion.clusters if c.alone is None]
    chosen = [(c, nests[f"k{c.number}"]) for c in computed]
    parts = [_cluster(fusion, c, nest) for c, nest in chosen if kernel in nest.name]
    if kernel:
        return "\n\n".join(parts) + "\n"
    copies = [plan.nest for plan in program.plans if plan.nest.name.startswith("copy_")]
    if copies:
        lines = [f"  {nest.name}: {nest.comment}, {_traffic(nest)}" for nest in copies]
        parts.append("\n".join(["copies between layouts", *lines]))
    apart = [c.alone for c in fusion.clusters if c.alone is not None]
    if apart:
        lines = [f"  {node.op.name} {node.type}: {_apart(node)}" for node in apart]
        parts.append("\n".join(["no kernel of this graph", *lines]))
    inside = {node for cluster in fusion.clusters for node in cluster.inlined}
    free = [n for n in fusion.graph.nodes if n.op.family == "elementwise" and n not in inside]
    lines = [_free(fusion, node) for node in free]
    if lines:
        parts.append("\n".join(["never stored: computed where they are read", *lines]))
    return "\n\n".join(parts) + "\n"


def _cluster(fusion: Fusion, cluster: Cluster, nest: Nest) -> str:
    stored = set(fusion.stored(cluster))
    where = "" if nest.loc is None else f"  # {nest.loc}: {nest.loc.source}"
    shape = ",".join(map(str, cluster.shape))
    lines = [f"{nest.name}: {cluster.reason}, points [{shape}]{where}"]
    for node in cluster.inner:
        lines.append(f"  inside  {node.op.name} {node.type}")
    for node in cluster.members:
        lines.append(f"  {'stored ' if node in stored else 'fused  '} {node.op.name} {node.type}")
    lines.append(f"  cost    {_work(cluster)} operations, {_traffic(nest)}")
    return "\n".join(lines)


def _apart(node: Node) -> str:
    if node.op.name != "scan":
        return f"computed by {library_of(node)} between the kernels"
    return f"a loop of {node.attrs['length']} turns over kernels of its own"


def _work(cluster: Cluster) -> str:
    """Scalar operations, in multiplications, of the nodes computed in the cluster."""
    total: Size = 0
    for node in cluster.inlined:
        total = total + node.type.numel * int(node.op.cost) * _depth(node)
    return _count(total)


def _depth(node: Node) -> Size:
    """How many operands' elements one element of ``node`` takes."""
    if node.op.name == "dot":
        (left, _), shape = node.attrs["contract"], node.inputs[0].shape
        return product([2, *(shape[axis] for axis in left)])
    if node.op.family == "reduction":
        shape = node.inputs[0].shape
        return product(shape[axis] for axis in node.attrs["axes"])
    return 1


def _traffic(nest: Nest) -> str:
    total: Size = 0
    for buffer in nest.buffers:
        total = total + product(buffer.shape) * buffer.dtype.itemsize
    return f"{_count(total)} bytes of buffers"


def _free(fusion: Fusion, node: Node) -> str:
    cost, loads = fusion.price(node)
    return f"  {node.op.name} {node.type}: {cost:g} multiplications, {loads} loads an element"


def _count(total: Size) -> str:
    return f"{total:,}" if isinstance(total, int) else str(total)
