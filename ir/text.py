"""A graph in, lines of text out, and back: one line a node, its type, the user's line beside it.

    inputs %0 'x', %1 'w'
    %0 = input() {dtype=f32, name='x', shape=(4, 3)} : f32[4,3]
    %1 = input() {dtype=f32, name='w', shape=(5, 3)} : f32[5,3]
    %2 = dot(%0, %1) {batch=((), ()), contract=((1,), (1,))} : f32[4,5]  # net.py:12: y = x @ w.T
    return %2 'y'

Attributes are literals, dtypes by their short names, symbolic sizes as ``2*N+1``. Reading goes
through Python's own parser and never through its evaluator; types are inferred again and compared
with what the text says. The bodies of loops stand before the graph, between ``body 0`` and ``end``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ir.dims import Dim, Size, symbol
from ir.errors import OpError
from ir.graph import Graph, Location, Node, build
from ir.ops import OPS
from ir.ops.loop import Body
from ir.types import DTYPES, TensorType, short

# A string literal never holds a brace (see ``_literal``), so that braces delimit attributes.
_NODE = re.compile(
    r"%(?P<number>\d+) = (?P<op>\w+)\((?P<inputs>[%\d, ]*)\)(?: \{(?P<attrs>[^}]*)\})?"
    r" : (?P<type>\w+\[[^\]]*\]|\([^)]*\))(?:  # (?P<loc>.*))?"
)
_LOCATION = re.compile(r"(?P<file>.*?):(?P<line>\d+)(?:: (?P<source>.*))?", re.DOTALL)
_BORDER = re.compile(r"%(\d+)(?: ('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"))?(?:, |$)")
_WORDS: dict[str, Any] = {**DTYPES, "inf": float("inf"), "nan": float("nan")}


class ParseError(ValueError):
    """The text is not a printed graph; the message names the line and what is wrong with it."""


def print_graph(graph: Graph) -> str:
    """``graph`` as text that ``parse_graph`` reads back, nodes numbered in their order."""
    bodies: dict[Body, str] = {}
    lines: list[str] = []
    for body in _bodies(graph):
        inner = _graph_lines(body.graph, bodies)
        bodies[body] = f"body{len(bodies)}"
        lines += [f"body {len(bodies) - 1}", *(f"  {line}" for line in inner), "end"]
    return "\n".join([*lines, *_graph_lines(graph, bodies)]) + "\n"


def _bodies(graph: Graph) -> list[Body]:
    """The loops' bodies, those that another one needs before it."""
    found: dict[Body, None] = {}
    for node in graph.nodes:
        if node.op.name == "scan":
            found.update(dict.fromkeys(_bodies(node.attrs["body"].graph)))
            found[node.attrs["body"]] = None
    return list(found)


def _graph_lines(graph: Graph, bodies: Mapping[Body, str]) -> list[str]:
    numbers = {node: number for number, node in enumerate(graph.nodes)}
    return [
        _border("inputs", graph.inputs, graph.input_names, numbers),
        *(_node_line(node, numbers, bodies) for node in graph.nodes),
        _border("return", graph.outputs, graph.output_names, numbers),
    ]


def parse_graph(text: str) -> Graph:
    """The graph that ``text`` describes. Raises ParseError with the number of the wrong line."""
    words: dict[str, Any] = dict(_WORDS)
    own: list[tuple[int, str]] = []
    inner: list[tuple[int, str]] | None = None
    for number, text_line in enumerate(text.splitlines(), 1):
        line = text_line.lstrip()
        word, _, rest = line.partition(" ")
        if word == "body":
            name, inner = f"body{rest}", []
        elif word == "end" and inner is not None:
            words[name], inner = Body(_parse_lines(inner, words)), None
        else:
            (own if inner is None else inner).append((number, line))
    return _parse_lines(own, words)


def _parse_lines(lines: Iterable[tuple[int, str]], words: Mapping[str, Any]) -> Graph:
    nodes: dict[int, Node] = {}
    borders: dict[str, tuple[tuple[Node, ...], tuple[str, ...]]] = {}
    wanted: dict[str, str] = {}
    for number, line in lines:
        word, _, rest = line.partition(" ")
        try:
            if word in ("inputs", "return"):
                wanted[word] = rest
            elif word:
                _read_node(line, nodes, words)
        except (ParseError, OpError) as error:
            rule = error.rule if isinstance(error, OpError) else error
            raise ParseError(f"line {number}: {rule}: {line}") from None
    for word in ("inputs", "return"):
        if word not in wanted:
            raise ParseError(f"no line says {word}")
        borders[word] = _read_border(wanted[word], nodes)
    (inputs, input_names), (outputs, output_names) = borders["inputs"], borders["return"]
    return Graph(inputs, outputs, input_names, output_names)


def parse_type(text: str) -> TensorType:
    """The type that ``f32[64,10]`` names. Raises ParseError (SyntaxError for broken sizes)."""
    name, _, sizes = text.rstrip("]").partition("[")
    if name not in DTYPES:
        raise ParseError(f"no dtype is called {name}")
    shape = _value(ast.parse(f"({sizes},)" if sizes else "()", mode="eval").body)
    return TensorType(DTYPES[name], _sizes(shape))


def _border(
    word: str, nodes: Sequence[Node], names: Sequence[str], numbers: Mapping[Node, int]
) -> str:
    quoted = [f" {_literal(name)}" for name in names] or [""] * len(nodes)
    items = (f"%{numbers[node]}{name}" for node, name in zip(nodes, quoted, strict=True))
    return f"{word} {', '.join(items)}".rstrip()


def _node_line(node: Node, numbers: Mapping[Node, int], bodies: Mapping[Body, str]) -> str:
    inputs = ", ".join(f"%{numbers[source]}" for source in node.inputs)
    said = ((k, bodies[v] if isinstance(v, Body) else _literal(v)) for k, v in node.attrs.items())
    attrs = ", ".join(f"{name}={value}" for name, value in sorted(said))
    braces = f" {{{attrs}}}" if attrs else ""
    comment = f"  # {_location(node.loc)}" if node.loc is not None else ""
    return f"%{numbers[node]} = {node.op.name}({inputs}){braces} : {node.type}{comment}"


def _location(loc: Location) -> str:
    text = f"{loc.file}:{loc.line}" + (f": {loc.source}" if loc.source else "")
    return text.encode("unicode_escape").decode("ascii")


def _literal(value: Any) -> str:
    match value:
        case tuple():
            items = [_literal(item) for item in value]
            return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"
        case str():
            return ascii(value).replace("{", "\\x7b").replace("}", "\\x7d")
        case np.dtype():
            return short(value)
        case Dim():
            return str(value)
        case bool() | np.bool_():
            return repr(bool(value))
        case int() | np.integer():
            return repr(int(value))
        case float() | np.floating():
            return repr(float(value))
    raise TypeError(f"an attribute of type {type(value).__name__} cannot be printed: {value!r}")


def _read_node(line: str, nodes: dict[int, Node], words: Mapping[str, Any]) -> None:
    found = _NODE.fullmatch(line)
    if found is None:
        raise ParseError("not a node")
    number, op = int(found["number"]), OPS.get(found["op"])
    if op is None:
        raise ParseError(f"no op is called {found['op']}")
    if number in nodes:
        raise ParseError(f"%{number} is defined twice")
    inputs = [_look_up(int(at), nodes) for at in re.findall(r"%(\d+)", found["inputs"])]
    try:
        attrs = _read_attrs(found["attrs"] or "", words)
        node = build(op, inputs, attrs, _read_location(found["loc"]))
        same = str(node.type) == found["type"] or node.type == parse_type(found["type"])
    except (KeyError, IndexError, TypeError, SyntaxError) as error:
        raise ParseError(f"{type(error).__name__} {error}") from None
    if not same:
        raise ParseError(f"the op's rule says {node.type}")
    nodes[number] = node


def _read_border(text: str, nodes: Mapping[int, Node]) -> tuple[tuple[Node, ...], tuple[str, ...]]:
    items = _BORDER.findall(text)
    found = tuple(_look_up(int(number), nodes) for number, _ in items)
    names = tuple(ast.literal_eval(name) for _, name in items if name)
    if names and len(names) != len(found):
        raise ParseError(f"some of these have a name and some have none: {text}")
    return found, names


def _look_up(number: int, nodes: Mapping[int, Node]) -> Node:
    if number not in nodes:
        raise ParseError(f"%{number} is not defined above")
    return nodes[number]


def _read_location(text: str | None) -> Location | None:
    if text is None:
        return None
    found = _LOCATION.fullmatch(text.encode("ascii").decode("unicode_escape"))
    if found is None:
        raise ParseError("the comment is not FILE:LINE")
    return Location(found["file"], int(found["line"]), found["source"] or "")


def _read_attrs(text: str, words: Mapping[str, Any]) -> dict[str, Any]:
    call = ast.parse(f"attrs({text})", mode="eval").body
    if not isinstance(call, ast.Call) or call.args:
        raise ParseError("attributes are name=value")
    return {str(item.arg): _value(item.value, words) for item in call.keywords}


def _sizes(shape: Iterable[Any]) -> tuple[Size, ...]:
    sizes = tuple(shape)
    if any(isinstance(size, bool) or not isinstance(size, int | Dim) for size in sizes):
        raise ParseError("a size is a whole number or symbolic")
    return sizes


def _value(tree: ast.expr, words: Mapping[str, Any] = _WORDS) -> Any:
    """What a literal means: a constant, a tuple, a dtype's name, or arithmetic on sizes."""
    match tree:
        case ast.Constant(value=bool() | int() | float() | str() as value):
            return value
        case ast.Tuple(elts=items):
            return tuple(_value(item, words) for item in items)
        case ast.Name(id=name):
            return words[name] if name in words else symbol(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_number(_value(operand, words))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _number(_value(left, words)) + _number(_value(right, words))
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _number(_value(left, words)) * _number(_value(right, words))
    raise ParseError("an attribute is a literal")


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | Dim):
        raise ParseError("only numbers and sizes are added and multiplied")
    return value
