"""A sum of padded values in, the blocks that it is put together from out.

The gradients of an LSTM's gates are four arrays that a product reads as one. Where a light kernel
computes all of them, it stores each in its block of the whole, instead of a kernel after it.
"""

from __future__ import annotations

from codegen.cluster import Cluster
from ir.graph import Node

MOST = 8  # blocks of which one kernel computes every element


def blocks_of(cluster: Cluster, node: Node) -> tuple[int, int] | None:
    """(axis, how many): the points of ``cluster`` side by side are those of ``node``.

    None unless all that ``node`` reads is computed at the cluster's points and padded with zeros.
    """
    if cluster.core or cluster.alone is not None or len(cluster.shape) != node.type.rank:
        return None
    longer = [at for at, size in enumerate(node.shape) if size != cluster.shape[at]]
    if len(longer) != 1 or not _reads_pads(cluster, node):
        return None
    part, whole = cluster.shape[longer[0]], node.shape[longer[0]]
    if not isinstance(part, int) or not isinstance(whole, int) or part < 2 or whole % part:
        return None
    return (longer[0], whole // part) if whole // part <= MOST else None


def _reads_pads(cluster: Cluster, node: Node) -> bool:
    """Whether every operand is a padded member, through sums that nobody stores."""
    return node.op.name == "add" and all(_is_padded(cluster, source) for source in node.inputs)


def _is_padded(cluster: Cluster, source: Node) -> bool:
    if source.op.name == "add" and source not in cluster.members:
        return _reads_pads(cluster, source)
    if source.op.name != "pad" or any(source.attrs["interior"]):
        return False
    (part,) = source.inputs
    own = tuple(axis if axis.extent != 1 else None for axis in cluster.axes)
    return cluster.members.get(part) == own and part.shape == cluster.shape
