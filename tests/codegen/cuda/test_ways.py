"""Nests in, how threads share their points out; and the tiles that products get."""

import pytest

from codegen.cuda.plan import plan_cuda
from codegen.cuda.push import Push
from codegen.cuda.rows import Group
from codegen.cuda.tile import SHARED, TILES, TINY, choose_tile
from codegen.cuda.ways import Apart, Tiles, way_of
from ir import make
from ir.dims import symbol
from ir.graph import Graph
from ir.types import F32, F64, I64, TensorType


def node(name, *shape, dtype=F32):
    return make.input_node(TensorType(dtype, shape), name)


def ways(inputs, *outputs):
    return [way_of(nest) for nest in plan_cuda(Graph(tuple(inputs), outputs), {}).nests]


def matmul(a, b):
    return make.dot(a, b, ((1,), (0,)))


def test_a_product_goes_in_tiles():
    a, b = node("a", 1024, 128), node("b", 128, 512)
    (way,) = ways((a, b), matmul(a, b))
    assert isinstance(way, Tiles)
    assert [axis.extent for axis in way.product.rows] == [1024]
    assert [axis.extent for axis in way.product.columns] == [512]
    assert way.product.left.along_sum
    assert not way.product.right.along_sum


def test_a_batch_is_neither_rows_nor_columns():
    a, b = node("a", 8, 64, 32), node("b", 8, 64, 32)
    (way,) = ways((a, b), make.dot(a, b, ((2,), (2,)), ((0,), (0,))))
    assert isinstance(way, Tiles)
    assert [axis.extent for axis in way.product.batch] == [8]


def test_a_pooling_window_stays_in_one_tile(networks):
    x, weight = node("x", 8, 3, 16, 16), node("weight", 8, 3, 3, 3)
    (way,) = ways((x, weight), networks.max_pool(networks.convolution(x, weight)))
    assert isinstance(way, Tiles)
    assert way.product.pool == 4
    assert way.tile.rows % 4 == 0


@pytest.mark.parametrize("shape", [(1024, 3), (3, 1024), (1024, 1)])
def test_products_of_few_columns_do_without(shape):
    a, b = node("a", shape[0], 256), node("b", 256, shape[1])
    (way, *_) = ways((a, b), matmul(a, b))
    assert not isinstance(way, Tiles)


def test_short_rows_share_a_warp_and_long_ones_have_a_block():
    sizes = []
    for width in (10, 32, 128, 2000):
        x = node("x", 4096, width)
        (way,) = ways((x,), make.sum(x, (1,)))
        assert isinstance(way, Group)
        sizes.append(way.size)
    assert sizes == [16, 32, 32, 256]


def test_columns_are_read_side_by_side():
    x = node("x", 1000, 96)
    (way,) = ways((x,), make.sum(x, (0,)))
    assert isinstance(way, Group)
    assert way.across


def test_values_at_computed_places_push():
    x, at = node("x", 512, 64), node("at", 512, dtype=I64)
    (way,) = ways((x, at), make.apply("put_add", x, at, axis=0, extent=5000))
    assert isinstance(way, Push)
    assert way.span * 1024 >= 5000
    assert way.threads == 64


def test_scalars_that_share_no_state_have_blocks_of_their_own():
    a, b = node("a"), node("b")
    one = make.add(a, 1.0)
    (way,) = ways((a, b), one, make.exp(one), make.exp(b))
    assert isinstance(way, Apart)
    assert sorted(len(group) for group in way.groups) == [1, 1, 1]


def test_tiles_fit_a_block():
    for tile in TILES:
        assert tile.elements * 4 <= SHARED
        assert 32 <= tile.threads <= 256
        assert tile.threads % 32 == 0
    for tile in TINY:
        assert tile.threads == 4


def test_small_products_get_small_tiles_and_large_ones_large():
    small, large = (choose_tile(1, n, n, n) for n in (64, 4096))
    assert small.rows * small.columns <= 32 * 32
    assert large.rows * large.columns == 128 * 64
    doubles = choose_tile(1, 4096, 4096, 4096, itemsize=F64.itemsize)
    assert doubles.elements * 8 <= SHARED
    assert choose_tile(1, 64, 64, 64, threads=4) in TINY


def test_an_open_batch_goes_in_tiles():
    a, b = node("a", symbol("N"), 128), node("b", 128, 512)
    (way,) = ways((a, b), matmul(a, b))
    assert isinstance(way, Tiles)
