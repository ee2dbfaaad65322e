"""Scheduled nests in, one LLVM module out: the explicit-vector spelling."""

from codegen.vector.module import Module

__all__ = ["Module"]
