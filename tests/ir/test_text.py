"""Graphs print, read well, and read back as they were; broken text is told where."""

import pytest
from hypothesis import given, settings, strategies as st

from ir import make
from ir.dims import symbol
from ir.graph import Graph, Location, located
from ir.interpret import interpret
from ir.text import ParseError, parse_graph, print_graph
from ir.types import F32, I64, TensorType

N = symbol("N")
LINEAR = """\
inputs %0 'x', %1 'w'
%0 = input() {dtype=f32, name='x', shape=(N, 3)} : f32[N,3]
%1 = input() {dtype=f32, name='w', shape=(5, 3)} : f32[5,3]
%2 = dot(%0, %1) {batch=((), ()), contract=((1,), (1,))} : f32[N,5]  # net.py:12: y = x @ w.T
return %2 'y'
"""


def linear() -> Graph:
    x = make.input_node(TensorType(F32, (N, 3)), "x")
    w = make.input_node(TensorType(F32, (5, 3)), "w")
    with located(Location("net.py", 12, "y = x @ w.T")):
        y = make.dot(x, w, ((1,), (1,)))
    return Graph((x, w), (y,), ("x", "w"), ("y",))


def assert_round_trip(graph: Graph) -> None:
    text = print_graph(graph)
    back = parse_graph(text)
    assert print_graph(back) == text
    assert back.input_names == graph.input_names
    assert back.output_names == graph.output_names
    for new, old in zip(back.nodes, graph.nodes, strict=True):
        assert (new.op, new.type, new.loc) == (old.op, old.type, old.loc)
        assert repr(sorted(new.attrs.items())) == repr(sorted(old.attrs.items()))
        at = [graph.nodes.index(source) for source in old.inputs]
        assert [back.nodes.index(source) for source in new.inputs] == at


def test_golden():
    assert print_graph(linear()) == LINEAR
    assert_round_trip(linear())


def test_symbolic_shapes_and_special_numbers():
    x = make.input_node(TensorType(F32, (2 * N * symbol("M") - 3, N)), "x")
    node = x
    for value in (float("inf"), -float("inf"), float("nan"), -0.0, 0.1, 1e-30):
        node = make.add(node, value)
    count = make.size(2 * N + 1, I64)
    flag = make.eq(make.full(True, make.eq(x, x).dtype, x.shape), make.eq(x, x))
    assert_round_trip(Graph((x,), (node, count, flag)))


@pytest.mark.parametrize(
    "name", ["it's", 'say "x"', "}{", "a, %3", "new\nline", "ü # 1", "\\", "", "') : f32[]"]
)
def test_names_from_the_user_cannot_break_the_text(name):
    x = make.input_node(TensorType(F32, ()), name)
    with located(Location(f"/my dir/{name}.py", 3, f"x = {name!r}  # {name}")):
        y = make.neg(x)
    graph = Graph((x,), (y, x), (name,), (name, "other"))
    assert len(print_graph(graph).splitlines()) == 4
    assert_round_trip(graph)


@settings(
    max_examples=300,
    deadline=None,
)
@given(rng=st.randoms(use_true_random=True))
def test_random_graphs_round_trip(draw_graph, assert_same, rng):
    graph, arrays = draw_graph(rng)
    assert_round_trip(graph)
    assert_same(interpret(parse_graph(print_graph(graph)), arrays), interpret(graph, arrays))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("%2 = dot", "%2 = dott", "line 4: no op is called dott"),
        ("dot(%0, %1)", "dot(%0, %7)", "line 4: %7 is not defined above"),
        ("f32[N,5]", "f32[N,6]", r"line 4: the op's rule says f32\[N,5\]"),
        ("f32[N,5]", "f8[N,5]", "line 4: no dtype is called f8"),
        ("%1 = input", "%0 = input", "line 3: %0 is defined twice"),
        ("contract=((1,), (1,))", "contract=((1,), (0,))", "line 4: contracted sizes differ"),
        ("contract=((1,), (1,))", "contract=open('x')", "line 4: an attribute is a literal"),
        (", contract=((1,), (1,))", "", "line 4: KeyError 'contract'"),
        ("contract=(", "contract=)", "line 4: SyntaxError"),
        ("%2 = dot", "2 = dot", "line 4: not a node"),
        ("return %2 'y'\n", "", "no line says return"),
        ("return %2 'y'", "return %3", "%3 is not defined above"),
        ("%0 'x', %1 'w'", "%0 'x', %1", "some of these have a name"),
        ("net.py:12: y = x @ w.T", "somewhere", "line 4: the comment is not FILE:LINE"),
    ],
)
def test_broken_text_is_told_where(old, new, problem):
    assert old in LINEAR
    with pytest.raises(ParseError, match=problem):
        parse_graph(LINEAR.replace(old, new))
