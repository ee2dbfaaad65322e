"""Clusters in, what stands side by side and in which order out."""

from types import SimpleNamespace

import pytest

from codegen.cluster import Cluster
from codegen.lowest import SMALL, launch_order
from codegen.pieces import pieces_of
from ir import make
from ir.types import F32, TensorType

MIB = 1 << 20


def plan(clusters, weights):
    """``clusters``: (reads, made) by names; the launch order as numbers, and its pieces."""
    nodes = {n: make.input_node(TensorType(F32, (1,)), n) for n in weights}
    found = [Cluster(at, (), ()) for at in range(len(clusters))]
    maker = {name: at for at, (_, made) in enumerate(clusters) for name in made}
    reads = {at: {nodes[n] for n in names} for at, (names, _) in enumerate(clusters)}
    made = {at: [nodes[n] for n in names] for at, (_, names) in enumerate(clusters)}
    before = {at: {maker[n] for n in names if n in maker} for at, (names, _) in enumerate(clusters)}
    weight = {nodes[n]: size * MIB for n, size in weights.items()}
    pieces = pieces_of(found, before, reads, made, weight, ())
    order = launch_order(pieces, before, weight)
    return SimpleNamespace(
        order=[c.number for c in order],
        pieces=[tuple(c.number for c in piece.clusters) for piece in pieces],
        most={piece.number: piece.most // MIB for piece in pieces},
    )


WEIGHTS = {"x": 4, "g": 4, "tx": 9, "tg": 9, "product": 1, "next": 4, "last": 4, "tail": 4}
GRADIENT = [
    ([], ["x"]),
    (["x"], ["g"]),
    (["g"], ["next"]),
    (["next"], ["last"]),
    (["g"], ["tg"]),
    (["x"], ["tx"]),
    (["tg", "tx"], ["product"]),
    (["product"], []),
]


def test_tiles_stand_before_their_product():
    found = plan(GRADIENT, WEIGHTS)
    assert (5, 4, 6) in found.pieces or (4, 5, 6) in found.pieces
    assert found.most[6] == 19


def test_a_weights_gradient_that_lets_go_of_its_operands_runs_when_there_is_room():
    """The large tail needs more than the tiles do, so that they may come before it."""
    tail = {**WEIGHTS, "tail": 30}
    clusters = [*GRADIENT, (["last"], ["tail"]), (["tail"], [])]
    order = plan(clusters, tail).order
    assert order.index(6) < order.index(8)


def test_small_steps_run_in_the_graphs_order():
    order = plan(GRADIENT, dict.fromkeys(WEIGHTS, 0)).order
    assert sum(dict.fromkeys(WEIGHTS, 0).values()) < SMALL
    assert order == sorted(order)


def test_a_circle_is_an_error():
    with pytest.raises(AssertionError, match="circle"):
        plan([(["b"], ["a"]), (["a"], ["b"])], {"a": 1, "b": 1})
