"""An attention's gradients in, their kernel out: weights are computed again, a tile at a time.

One kernel has blocks of queries and walks along the keys, another blocks of keys and walks along
the queries: each result belongs to one block, so that nothing is added up by atomics.
"""

from __future__ import annotations

from codegen.cuda.attention import Backward
from codegen.cuda.attention_body import Attention, AttentionBody
from codegen.portable.names import Names
from codegen.portable.spell import literal


class BackwardBody(AttentionBody):
    """A block for every few queries, or keys."""

    def __init__(self, names: Names, way: Attention) -> None:
        work = way.nest.work
        assert isinstance(work, Backward)
        self.does = work
        super().__init__(names, way, work.values)

    def step(self) -> None:
        """Scores and slopes, the values made of them, and the products with these."""
        work = self.does
        self.multiply()
        zero = literal(0, work.weights.core.dtype)
        self.lay(work.values, [zero] * len(work.values), work.stats)
        self.pause(self.products[-1])
        for part in self.results:
            self.run(part, part.multiply)
