"""Clusters and what they wait for in, groups side by side out."""

from codegen.cluster import Cluster
from codegen.heads import side_by_side


def clusters(count):
    return [Cluster(number, (), ()) for number in range(count)]


def numbers(order):
    return None if order is None else [cluster.number for cluster in order]


def test_a_group_stands_where_its_last_one_did():
    c = clusters(6)
    before = {0: set(), 1: {0}, 2: {0}, 3: {1}, 4: set(), 5: {3}}
    assert numbers(side_by_side(c, [(c[1], c[3])], before)) == [0, 2, 1, 3, 4, 5]


def test_readers_of_an_early_one_wait_for_the_whole_group():
    c = clusters(5)
    before = {0: set(), 1: {0}, 2: {1}, 3: {1}, 4: {3}}
    assert numbers(side_by_side(c, [(c[1], c[3])], before)) == [0, 1, 3, 2, 4]


def test_groups_that_wait_for_each_other_are_not_brought_together():
    c = clusters(4)
    before = {0: set(), 1: {0}, 2: set(), 3: {2}}
    assert side_by_side(c, [(c[0], c[3]), (c[2], c[1])], before) is None


def test_no_groups_no_change():
    c = clusters(3)
    assert numbers(side_by_side(c, [], {0: set(), 1: set(), 2: {1}})) == [0, 1, 2]
