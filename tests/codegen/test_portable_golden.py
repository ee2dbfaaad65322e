"""Small graphs in, the Numba source of one kernel each out, compared with the stored text.

``pytest --update-golden`` rewrites the stored text: read the difference before you commit it.
"""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from codegen.nests import build_nests
from codegen.portable import emit_source
from codegen.schedule import schedule
from ir import make
from ir.graph import Graph, Location, Node, located
from ir.passes import run_passes
from ir.types import F32, TensorType

Setup: TypeAlias = tuple[Graph, dict[int, int], tuple[int, ...], str]
GOLDEN = Path(__file__).parent / "golden"
REGISTERS = 32  # so that the text is the same on every CPU


def tensor(name: str, *shape: int) -> Node:
    return make.input_node(TensorType(F32, shape), name)


def biased(x: Node, bias: Node, axis: int) -> Node:
    return make.add(x, make.broadcast(bias, x.shape, (axis,)))


def convolution() -> Setup:
    image, weight, bias = (
        tensor("image", 32, 3, 12, 12),
        tensor("weight", 8, 3, 5, 5),
        tensor("bias", 8),
    )
    with located(Location("net.py", 12, "x = self.pool(F.relu(self.conv(x)))")):
        windows = make.window(image, (2, 3), (5, 5), (1, 1), (1, 1))
        sums = make.dot(windows, weight, ((1, 4, 5), (1, 2, 3)))
        rows = biased(make.transpose(sums, (0, 3, 1, 2)), bias, 1)
        active = make.apply("relu", rows)
        pooled = make.max(make.window(active, (2, 3), (2, 2), (2, 2), (1, 1)), (4, 5))
    return Graph((image, weight, bias), (pooled,)), {}, (0,), "dot"


def weight_gradient() -> Setup:
    x, slope = tensor("x", 64, 400), tensor("slope", 64, 120)
    weight, velocity = tensor("weight", 120, 400), tensor("velocity", 120, 400)
    rate, momentum = tensor("rate"), tensor("momentum")
    with located(Location("net.py", 30, "opt.step()")):
        gradient = make.dot(slope, x, ((0,), (0,)))
        speed = make.mul(velocity, make.broadcast(momentum, weight.shape, ()))
        velocity_after = make.add(speed, gradient)
        step = make.mul(velocity_after, make.broadcast(rate, weight.shape, ()))
        weight_after = make.sub(weight, step)
    inputs = (x, slope, weight, velocity, rate, momentum)
    return Graph(inputs, (weight_after, velocity_after)), {0: 2, 1: 3}, (0, 1), "dot"


def softmax() -> Setup:
    scores = tensor("scores", 48, 10)
    with located(Location("net.py", 21, "p = scores.softmax(1)")):
        highest = make.broadcast(make.max(scores, (1,)), scores.shape, (0,))
        powers = make.exp(make.sub(scores, highest))
        total = make.broadcast(make.sum(powers, (1,)), scores.shape, (0,))
        shares = make.div(powers, total)
    return Graph((scores,), (shares,)), {}, (0,), ""


@pytest.mark.parametrize("case", [convolution, weight_gradient, softmax])
def test_source_is_as_stored(case: Callable[[], Setup], request: pytest.FixtureRequest) -> None:
    graph, donated, batch, part = case()
    nests = build_nests(run_passes(graph), donated, batch).nests
    plans = [schedule(nest, REGISTERS) for nest in nests if part in nest.name]
    text = "\n\n".join(emit_source(plan, f"kernel{at}") for at, plan in enumerate(plans))
    stored = GOLDEN / f"{case.__name__}.py.txt"
    if request.config.getoption("--update-golden"):
        stored.parent.mkdir(exist_ok=True)
        stored.write_text(text, "utf-8")
    assert text == stored.read_text("utf-8"), "see --update-golden"


def test_lines_are_short_and_ascii() -> None:
    for stored in GOLDEN.glob("*.py.txt"):
        for line in stored.read_text("utf-8").splitlines():
            assert len(line) <= 110
            assert line.isascii()


def test_a_users_line_stays_a_comment() -> None:
    """What the user wrote never becomes code."""
    x = tensor("x", 4, 4)
    with located(Location("a\nimport os", 1, "y = x\n    + 'é'\r\x0cimport sys")):
        y = make.exp(x)
    (nest,) = build_nests(run_passes(Graph((x,), (y,))), {}, ()).nests
    module = ast.parse(emit_source(schedule(nest), "k"))
    assert [type(node).__name__ for node in module.body] == [
        "Expr",
        "Import",
        "Import",
        "ImportFrom",
        "FunctionDef",
    ]
