"""Scheduled nests in, readable Numba source (and from it native kernels) out: the portable
spelling."""

from codegen.portable.build import build_kernels
from codegen.portable.source import emit_source

__all__ = ["build_kernels", "emit_source"]
