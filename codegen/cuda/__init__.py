"""Nests in, readable ``numba.cuda`` source (and from it PTX, or a run on a device) out.

The third spelling of the same nests: expressions are the portable spelling's, loops are a grid's.
"""

from codegen.cuda.source import Kernel, emit_kernel

__all__ = ["Kernel", "emit_kernel"]
