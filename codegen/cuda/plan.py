"""A simplified graph in, the nests of its CUDA kernels out: the one place that decides on them."""

from __future__ import annotations

from collections.abc import Mapping

from codegen.nests import Kernels, build_nests
from ir.graph import Graph


def plan_cuda(graph: Graph, donated: Mapping[int, int]) -> Kernels:
    """The kernels in launch order; every buffer is row-major."""
    return build_nests(graph, donated, ())
