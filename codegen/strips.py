"""Clusters in, chains of three that take turns strip by strip out.

A fast convolution makes tiles, multiplies them, and puts the products together: three kernels with
twice the convolution's operands between them, which no near cache holds. So each thread computes a
strip of tiles through all three before it begins the next strip. What lies between them is then
needed for one strip at a time, and stays in the second cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from codegen.cluster import Cluster, Places
from codegen.fuse import Fusion
from codegen.heads import Heads
from codegen.index import Axis
from codegen.nest import LANES
from codegen.order import turns_of
from codegen.patterns import joins_tiles
from ir.graph import Node

NEAR = 640 * 1024  # bytes of tiles and products: they share the second cache with what they read


@dataclass(frozen=True)
class Chain:
    """Clusters that take turns, and along which of their axes a strip has how many points."""

    clusters: tuple[Cluster, Cluster, Cluster]
    axes: tuple[tuple[tuple[Axis, int], ...], ...]
    held: Mapping[Node, tuple[tuple[int, int], ...]]  # of what lies between: (dimension, points)


def chains(
    fusion: Fusion, tags: Mapping[Node, int | None], before: Mapping[int, set[int]]
) -> list[Chain]:
    """Every chain of ``fusion`` whose clusters may stand side by side.

    ``tags`` are batch axes, ``before`` what each cluster must wait for. Where one of a chain has
    another follower (who overwrites state that it reads), that one must have its turn later.
    """
    place, after = turns_of(before)
    found = []
    for cluster in fusion.clusters:
        if len(cluster.core) != 1 or not joins_tiles(cluster.core[0]):
            continue
        chain = _chain(fusion, cluster, tags)
        if chain is not None:
            own = [member.number for member in chain.clusters]
            others = {follower for number in own for follower in after[number]} - set(own)
            if all(place[follower] > place[cluster.number] for follower in others):
                found.append(chain)
    return found


def _chain(fusion: Fusion, last: Cluster, tags: Mapping[Node, int | None]) -> Chain | None:
    fold = last.core[0]
    products = fold
    while products.op.name in ("fold", "transpose", "mix"):
        (products,) = products.inputs
    if products.op.name != "dot" or products not in fusion.member:
        return None
    middle = fusion.clusters[fusion.member[products]]
    tiles = products.inputs[0]
    if tiles.op.name != "mix" or tiles not in fusion.member:
        return None
    first = fusion.clusters[fusion.member[tiles]]
    if fusion.stored(first) != [tiles] or fusion.stored(middle) != [products]:
        return None
    alone = _only(fusion, tiles, middle) and _only(fusion, products, last)
    many = tiles.type.rank - 6  # axes of whole convolutions: the phases of a transposed one
    batched = (tags[tiles], tags[products], tags[fold]) == (many, many + 2, many)
    if many < 0 or not alone or not batched:
        return None
    steps = (1,) * many + _steps(tiles, products)
    front = tuple(range(many))
    dims = [
        (*front, many + 1, many + 2),  # of tiles: rows of them and columns, points, channels
        (*(at + 2 for at in front), many + 3, many + 4),  # of products: points first
        (*front, many + 2, many + 3),  # of images
    ]
    owners = (first.members[tiles], middle.members[products], last.members[fold])
    places = [tuple(of[at] for at in own) for of, own in zip(owners, dims, strict=True)]
    axes = tuple(_axes(own, steps) for own in places)
    held = [tuple(zip(own, steps, strict=True)) for own in dims]
    return Chain((first, middle, last), axes, {tiles: held[0], products: held[1]})


def _only(fusion: Fusion, node: Node, cluster: Cluster) -> bool:
    """Whether only ``cluster`` reads ``node``, itself or through what it computes in passing."""
    stack = [node]
    while stack:
        for user in fusion.users[stack.pop()]:
            home = fusion.member.get(user)
            if home is None and user not in cluster.inner:
                stack.append(user)
            elif home is not None and home != cluster.number:
                return False
    return node not in fusion.outputs


def _steps(tiles: Node, products: Node) -> tuple[int, int]:
    """Rows and columns of tiles in a strip: as many as the cache has room for."""
    rows, columns = (int(size) for size in tiles.shape[-5:-3])
    points = prod(int(size) for size in tiles.shape[-3:-1])
    channels = int(tiles.shape[-1]) + int(products.shape[-1])
    most = max(1, NEAR // (points * channels * LANES * tiles.dtype.itemsize))
    wide = max(step for step in range(1, columns + 1) if columns % step == 0 and step <= most)
    if wide < columns:
        return 1, wide
    high = max(step for step in range(1, rows + 1) if rows % step == 0 and step * wide <= most)
    return high, wide


def _axes(places: Places, steps: Sequence[int]) -> tuple[tuple[Axis, int], ...]:
    real = [(a, step) for a, step in zip(places, steps, strict=True) if a is not None]
    return tuple((a, step) for a, step in real if a.extent != 1)


def turns(
    order: Sequence[Cluster], found: Sequence[Chain | Heads]
) -> list[tuple[tuple[Cluster, ...], Chain | Heads | None]]:
    """The launch order in pieces: each cluster by itself, or with those of its chain."""
    first = {chain.clusters[0].number: chain for chain in found}
    later = {cluster.number for chain in found for cluster in chain.clusters[1:]}
    pieces: list[tuple[tuple[Cluster, ...], Chain | Heads | None]] = []
    for cluster in order:
        if cluster.number not in later:
            chain = first.get(cluster.number)
            pieces.append(((cluster,) if chain is None else chain.clusters, chain))
    return pieces
