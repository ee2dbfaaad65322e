"""What planning a graph gives: its nests in launch order, and where inputs and outputs live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from codegen.calls import Call
from codegen.cluster import Cluster
from codegen.fuse import Fusion
from codegen.loops import Loop, Place
from codegen.nest import Buffer, Nest


@dataclass(frozen=True, eq=False)
class Kernels:
    """The kernels of a program before they are scheduled."""

    nests: tuple[Nest, ...]
    inputs: tuple[Buffer, ...]
    outputs: tuple[Buffer, ...]
    old: tuple[int | None, ...]  # for each output the input that it merely repeats
    copies: tuple[tuple[Buffer, Buffer], ...]  # (from, to) after the last kernel: late state
    fusion: Fusion
    order: tuple[Cluster, ...] = ()
    loops: tuple[Loop, ...] = ()
    places: Mapping[Buffer, Place] = field(default_factory=dict)  # buffers that are rows of others
    calls: tuple[Call, ...] = ()
    groups: tuple[tuple[int, int], ...] = ()  # (first nest, how many) that take turns (strips.py)
