"""Graphs in, programs out: fusion, loop nests, kernels, memory, and the native call."""

from codegen.compile import compile_graph
from codegen.driver import get_num_threads, set_num_threads
from codegen.program import Program

__all__ = ["Program", "compile_graph", "get_num_threads", "set_num_threads"]
