"""An attention in, its forward kernel out: the softmax is made as the block walks (online).

The rows' largest score so far and the sum of the exponentials above it are in registers. Where a
tile of keys has a larger one, all that was added up before is made smaller. So nobody needs to know
all scores of a row at the same time, and there may be as many keys as one likes.
"""

from __future__ import annotations

from codegen.cuda.attention import Forward
from codegen.cuda.attention_body import Attention, AttentionBody
from codegen.cuda.rows import combined
from codegen.nest import Expr
from codegen.portable.names import Names
from codegen.portable.spell import literal


class ForwardBody(AttentionBody):
    """A block for every few queries."""

    def __init__(self, names: Names, way: Attention) -> None:
        work = way.nest.work
        assert isinstance(work, Forward)
        self.does, weights = work, work.weights
        super().__init__(names, way, [weights.score, weights.weight])
        self.lanes = self.sizes.threads // self.sizes.rows
        self.used: set[str] = set()  # device functions
        words = ("row", "lane", "query", "peak", "sum_of_row")
        self.word = {word: names.fresh(word) for word in words}
        self.mine = self.room.tiles[0]
        for part in self.results:
            part.norms = self.room.numbers

    def before(self) -> None:
        """Every thread's row and its part of each tile; rows of nothing."""
        w, dtype = self.word, self.does.weights.core.dtype
        self.add(f"{w['row']} = quotient(thread, {self.lanes})")
        self.add(f"{w['lane']} = remainder(thread, {self.lanes})")
        self.add(f"{w['query']} = {self.first} + {w['row']}")
        self.add(f"{w['peak']} = {literal(float('-inf'), dtype)}")
        self.add(f"{w['sum_of_row']} = {literal(0, dtype)}")

    def step(self) -> None:
        """Scores, their weights, and the product with values."""
        weights = self.does.weights
        self.multiply()
        self.lay([weights.score], [literal(float("-inf"), weights.core.dtype)], ())
        self.add("cuda.syncthreads()")
        self._soften()
        self.add("cuda.syncthreads()")
        for part in self.results:
            self.run(part, lambda part=part: part.scale(str(self.room.numbers)), part.multiply)  # type: ignore[misc]

    def _soften(self) -> None:
        """This thread's scores of the tile become weights."""
        w, dtype = self.word, self.does.weights.core.dtype
        turns = range(self.sizes.columns // self.lanes)
        column = [f"{w['lane']} + {self.lanes * turn}" for turn in turns]
        place = [
            f"{self.tiles}[{self.mine} + ({at}) * {self.sizes.stride} + {w['row']}]"
            for at in column
        ]
        scores = [self.names.fresh("score") for _ in turns]
        top = self.names.fresh("top")
        self.add(f"{top} = {w['peak']}")
        for turn in turns:
            self.add(f"{scores[turn]} = {place[turn]}")
            self.add(f"{top} = {combined('max', top, scores[turn], dtype)}")
        self._across("max", top)
        none = literal(float("-inf"), dtype)
        start, scale, part = (self.names.fresh(word) for word in ("begin", "scale", "part"))
        self.add(f"{start} = {literal(0, dtype)} if {top} == {none} else {top}")
        self.add(f"{scale} = math.exp({w['peak']} - {start})")
        self.add(f"{part} = {literal(0, dtype)}")
        grown = [self._grown(score, start) for score in scores]
        for name in grown:
            self.add(f"{part} += {name}")
        self._across("sum", part)
        self.add(f"{w['sum_of_row']} = {w['sum_of_row']} * {scale} + {part}")
        self.add(f"{w['peak']} = {top}")
        for turn in turns:
            self._weigh(grown[turn], column[turn], place[turn])
        with self.block(f"if {w['lane']} == 0:"):
            self.add(f"{self.tiles}[{self.room.numbers} + {w['row']}] = {scale}")

    def _across(self, kind: str, name: str) -> None:
        """Over all threads of a row."""
        if self.lanes > 1:
            self.used.add(f"warp_{kind}_{self.lanes}")
            self.add(f"{name} = warp_{kind}_{self.lanes}({name})")

    def _grown(self, score: str, start: str) -> str:
        weights, name = self.does.weights, self.names.fresh("grown")
        with self.knowing({weights.score: score, weights.start: start}), self.scope():
            self.add(f"{name} = {self.text(weights.grown, whole=True)}")
        return name

    def _weigh(self, grown: str, column: str, place: str) -> None:
        """The weight of one element in its place: zero where there is no such element."""
        weights, w = self.does.weights, self.word
        if weights.weight == weights.chance:
            self.add(f"{place} = {grown}")
            return
        first, tile = self.products[0], self.products[0].tile
        key, name = self.names.fresh("key"), self.names.fresh("weight")
        self.add(f"{key} = {self.start} + {column}")
        tests = [
            first._exists(w["query"], weights.query.extent, tile.rows),
            first._exists(key, weights.key.extent, tile.columns),
        ]
        tests = [test for test in tests if test]
        if tests:
            self.add(f"{name} = {literal(0, weights.core.dtype)}")
        self.places.axes.update({weights.query: w["query"], weights.key: key})
        headers = [f"if {' and '.join(tests)}:"] if tests else []
        with self.blocks(headers), self.knowing({weights.chance: grown}), self.scope():
            self.add(f"{name} = {self.text(weights.weight, whole=True)}")
        self.add(f"{place} = {name}")

    def after(self) -> None:
        """The rows' numbers where they are wanted: for the results, and in memory."""
        weights, w = self.does.weights, self.word
        known: dict[Expr, str] = {weights.peak: w["peak"], weights.total: w["sum_of_row"]}
        with self.block(f"if {w['lane']} == 0:"):
            with self.knowing(known), self.scope():
                whole = self.text(weights.whole, whole=True)
            self.add(f"{self.tiles}[{self.room.numbers} + {w['row']}] = {whole}")
            exists = self.products[0]._exists(w["query"], weights.query.extent, self.sizes.rows)
            self.places.axes[weights.query] = w["query"]
            with self.blocks([f"if {exists}:"] if exists and self.does.stored else []):
                for root in self.does.stored:
                    self.add(f"{self._place(root.buffer, root.index)} = {known[root.value]}")
