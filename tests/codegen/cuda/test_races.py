"""Kernels whose threads share memory in, every pair of accesses that no barrier parts out.

The generated source runs over a small stand-in for ``numba.cuda`` whose shared arrays note who
touched what between which barriers. Two threads may touch one element between two barriers only if
both read it.
"""

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from codegen.cuda import source
from codegen.nests import build_nests
from ir import make
from ir.graph import Graph
from ir.types import F32, I64, TensorType

BLOCK = 8


class SharedArray:
    """An array of one block that notes every access as (element, epoch, thread, wrote)."""

    def __init__(self, size, dtype, here, noted):
        self.values, self.here, self.noted = np.zeros(size, dtype), here, noted

    def __getitem__(self, at):
        self.noted.append((id(self), int(at), self.here.epoch, self.here.thread, False))
        return self.values[at]

    def __setitem__(self, at, value):
        self.noted.append((id(self), int(at), self.here.epoch, self.here.thread, True))
        self.values[at] = value


class Device:
    """What the kernels use of ``numba.cuda``, for one block of Python threads."""

    def __init__(self):
        self.here, self.noted, self.arrays = threading.local(), [], {}
        self.barrier, self.lock = threading.Barrier(BLOCK), threading.Lock()
        self.shared = SimpleNamespace(array=self._array)
        self.blockIdx, self.gridDim = SimpleNamespace(x=0), SimpleNamespace(x=1)

    @property
    def threadIdx(self):
        return SimpleNamespace(x=self.here.thread)

    def jit(self, function=None, device=False, inline="never"):
        return function if function is not None else (lambda given: given)

    def grid(self, dimensions):
        return self.here.thread

    def gridsize(self, dimensions):
        return BLOCK

    def syncthreads(self):
        self.barrier.wait()
        self.here.epoch += 1

    def _array(self, size, dtype):
        """The block's own array: the same one for the same call of every thread."""
        number = self.here.made = self.here.made + 1
        with self.lock:
            if number not in self.arrays:
                self.arrays[number] = SharedArray(size, dtype, self.here, self.noted)
            return self.arrays[number]

    def run(self, kernel, arrays):
        def thread(number):
            self.here.thread, self.here.epoch, self.here.made = number, 0, 0
            kernel(*arrays)

        threads = [threading.Thread(target=thread, args=(k,)) for k in range(BLOCK)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        return races(self.noted)


def races(noted):
    """Elements that two threads touched between the same barriers, at least one of them writing."""
    touched = {}
    for array, at, epoch, thread, wrote in noted:
        touched.setdefault((array, at, epoch), set()).add((thread, wrote))
    return [
        where
        for where, who in touched.items()
        if len({thread for thread, _ in who}) > 1 and any(wrote for _, wrote in who)
    ]


def kernel_of(kind):
    x = make.input_node(TensorType(F32, (3, 100)), "x")
    attrs = {"axes": (1,), **({"dtype": I64} if kind.startswith("arg") else {})}
    graph = Graph((x,), (make.apply(kind, x, **attrs),))
    (nest,) = build_nests(graph, {}, ()).nests
    return source.emit_kernel(nest, block=BLOCK)


def found_in(text, kernel):
    device, module = Device(), {}
    body = text.replace("from numba import cuda", "")
    exec(compile(body, kernel.name, "exec"), module | {"cuda": device}, module)
    module["cuda"] = device
    space = {**module, "cuda": device}
    exec(compile(body, kernel.name, "exec"), space)
    x = np.random.default_rng(0).normal(size=(3, 100)).astype(np.float32)
    y = np.zeros(3, np.int64 if "arg" in kernel.name else np.float32)
    return device.run(space[kernel.name], [x, y]), x, y


@pytest.mark.parametrize("kind", ["sum", "prod", "max", "min", "argmax", "argmin"])
def test_no_race(kind):
    kernel = kernel_of(kind)
    assert kernel.shared
    raced, x, y = found_in(kernel.source, kernel)
    assert not raced
    np.testing.assert_allclose(y, getattr(np, kind)(x, axis=1), rtol=1e-4)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_missing_barrier_is_found(which):
    """Take any one of the three barriers of the tree out, and there is a race."""
    kernel = kernel_of("sum")
    parts = kernel.source.split("cuda.syncthreads()")
    assert len(parts) == 4
    planted = "cuda.syncthreads()".join(parts[: which + 1]) + "pass"
    planted += "cuda.syncthreads()".join(parts[which + 1 :])
    raced, _, _ = found_in(planted, kernel)
    assert raced
