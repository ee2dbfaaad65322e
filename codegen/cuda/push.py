"""Sums at computed places in, a kernel in which every block owns some rows of the result out.

The gradient of an embedding adds each token's slope to the row that the token means. A block reads
which rows all tokens mean, a tile of tokens at a time, makes a list of those that mean one of its
own, in their order, and adds their values; a thread owns the same columns all along. So every token
is read by every block, but its values by one alone, nothing is added by two threads, and results
repeat to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from codegen.cuda.body import CudaBody
from codegen.index import Axis
from codegen.nest import Nest
from codegen.portable.names import Names
from codegen.portable.spell import literal
from codegen.scatter import Scatter

BLOCKS = 1024  # over all rows, at most


@dataclass(frozen=True)
class Push:
    """How many rows a block owns, in blocks of how many threads."""

    scatter: Scatter
    rows: int  # of all
    span: int
    threads: int


class PushBody(CudaBody):
    """A block for every few rows of the result."""

    def __init__(self, nest: Nest, names: Names, push: Push) -> None:
        super().__init__(nest, names)
        self.push = push
        self.columns = [axis for axis in nest.axes if axis != push.scatter.row]
        words = "first base place row meant other tokens column mine taken before count"
        self.word = {word: names.fresh(word) for word in words.split()}

    def _share(self, order: list[Axis]) -> None:
        push, w = self.push, self.word
        tokens = self.places.size(self.count(push.scatter.values))
        self.add(f"{w['meant']} = cuda.shared.array({push.threads}, np.int64)")
        self.add(f"{w['taken']} = cuda.shared.array({push.threads}, np.int64)")
        self.add("thread = cuda.threadIdx.x")
        self.add(f"{w['first']} = cuda.blockIdx.x * {push.span}")
        self.add(f"{w['tokens']} = {tokens}")
        exists = f"if {w['first']} + {w['row']} < {push.rows}:"
        rows = self.block(f"for {w['row']} in range({push.span}):")
        with rows, self._own_columns(), self.block(exists):
            self.add(f"{self._target()} = {literal(0, self.nest.roots[0].value.dtype)}")
        self.add(f"{w['base']} = 0")
        with self.block(f"while {w['base']} < {w['tokens']}:"):
            self._read_tile()
            with self.block(f"for {w['other']} in range({w['count']}):"):
                self._take_token()
            self.add(f"{w['base']} += {push.threads}")

    def _read_tile(self) -> None:
        """The rows that one tile of tokens means, as seen from the block's first one."""
        push, w = self.push, self.word
        self.add(f"{w['row']} = -1")
        self.add(f"{w['place']} = {w['base']} + thread")
        with self.block(f"if {w['place']} < {w['tokens']}:"):
            self.take_apart(w["place"], push.scatter.values)
            self.add(f"{w['row']} = {self.text(push.scatter.meant)} - {w['first']}")
        self.add("cuda.syncthreads()")
        self.add(f"{w['meant']}[thread] = {w['row']}")
        self.add("cuda.syncthreads()")
        self.add(f"{w['mine']} = {self._is_own(w['row'])}")
        with self.block(f"if {w['mine']}:"):
            self.add(f"{w['before']} = 0")
            with self.block(f"for {w['other']} in range(thread):"):
                self.add(f"{w['row']} = {w['meant']}[{w['other']}]")
                self.add(f"{w['before']} += 1 if {self._is_own(w['row'])} else 0")
            self.add(f"{w['taken']}[{w['before']}] = thread")
        self.add(f"{w['count']} = cuda.syncthreads_count(np.int32({w['mine']}))")

    def _is_own(self, row: str) -> str:
        return f"{row} >= 0 and {row} < {self.push.span}"

    def _take_token(self) -> None:
        """Add a token's values to the row that it means, which the block owns."""
        push, w = self.push, self.word
        self.add(f"{w['place']} = {w['taken']}[{w['other']}]")
        self.add(f"{w['row']} = {w['meant']}[{w['place']}]")
        self.add(f"{w['place']} += {w['base']}")
        self.take_apart(w["place"], push.scatter.values)
        with self._own_columns():
            value = self.text(push.scatter.value, whole=True)
            self.add(f"{self._target()} += {value}")

    @contextmanager
    def _own_columns(self) -> Iterator[None]:
        """A loop over the columns that this thread owns."""
        size, column = self.places.size(self.count(self.columns)), self.word["column"]
        with self.block(f"for {column} in range(thread, {size}, {self.push.threads}):"):
            self.take_apart(column, self.columns)
            yield

    def _target(self) -> str:
        (root,) = self.nest.roots
        self.places.axes[self.push.scatter.row] = f"({self.word['first']} + {self.word['row']})"
        return self._place(root.buffer, root.index)
