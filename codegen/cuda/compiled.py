"""A kernel's source in, the kernel as Numba knows it out; kernels that differ in names are one."""

from __future__ import annotations

import ast
import hashlib
import linecache
from typing import Any

from codegen.cuda.source import Kernel

_known: dict[str, Any] = {}


def compiled(kernel: Kernel) -> Any:
    """The kernel, for Numba to compile when it is first launched; tracebacks show its source."""
    digest = digest_of(kernel)
    if digest not in _known:
        _known[digest] = _run(kernel, digest)
    return _known[digest]


def digest_of(kernel: Kernel) -> str:
    """The same for all kernels that compute the same from arguments of the same types."""
    tree = ast.parse(kernel.source)
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            _rename(function)
    pairs = zip(kernel.buffers, kernel.shapes, strict=True)
    types = " ".join(f"{buffer.dtype}x{len(shape)}" for buffer, shape in pairs)
    text = f"{types} {kernel.threads}\n{ast.unparse(tree)}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _rename(function: ast.FunctionDef) -> None:
    """Arguments and local names by their order; a kernel by its place in the module."""
    nodes = list(ast.walk(function))
    own = {a.arg for a in function.args.args}
    own |= {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    order: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.arg):
            node.arg = order.setdefault(node.arg, f"v{len(order)}")
        elif isinstance(node, ast.Name) and node.id in own:
            node.id = order.setdefault(node.id, f"v{len(order)}")
    if ast.get_docstring(function) is None:  # helpers have one, and are called by their names
        function.name = "kernel"


def _run(kernel: Kernel, digest: str) -> Any:
    file = f"<tracefuse cuda {kernel.name} {digest}>"
    lines = kernel.source.splitlines(keepends=True)
    linecache.cache[file] = (len(kernel.source), None, lines, file)
    module: dict[str, Any] = {"__name__": f"tracefuse_cuda_{kernel.name}"}
    exec(compile(kernel.source, file, "exec"), module)
    return module[kernel.name]
