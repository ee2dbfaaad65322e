"""One memory for the intermediates of all programs: who shares it, when it grows, when it goes."""

import gc
import threading

import numpy as np

from codegen import compile_graph, pages as pages_module
from codegen.pages import Pages, shared_pages
from ir import make
from ir.graph import Graph
from ir.interpret import interpret
from ir.types import F32, TensorType


def products(rows, width):
    """Two products, whose result in between lies in the arena."""
    x = make.input_node(TensorType(F32, (rows, width)), "x")
    w = make.input_node(TensorType(F32, (width, width)), "w")
    first = make.apply("tanh", make.dot(x, w, ((1,), (0,)), ((), ())))
    return Graph((x, w), (make.dot(first, w, ((1,), (0,)), ((), ())),))


def arrays_of(graph, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(node.shape).astype(np.float32) for node in graph.inputs]


def held_to(graph, program, seed=0):
    arrays = arrays_of(graph, seed)
    (found,), (expected,) = program.run(arrays), interpret(graph, arrays)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def place_of(program):
    (binding,) = program._bindings.values()
    return binding.arena


def test_two_programs_use_the_same_bytes():
    large, small = products(64, 32), products(48, 16)
    first, second = compile_graph(large), compile_graph(small)
    for seed in range(3):
        held_to(large, first, seed)
        held_to(small, second, seed)
    assert place_of(first) is place_of(second)


def test_what_grows_moves_all_programs(monkeypatch):
    monkeypatch.setattr(pages_module, "RESERVE", 1)
    whole = shared_pages().at_least(1)[0]  # whatever other tests have left
    small, large = products(48, 16), products(whole.size // 64 + 256, 32)
    first = compile_graph(small)
    held_to(small, first)
    old = place_of(first)
    second = compile_graph(large)
    held_to(large, second)
    assert place_of(second) is not old
    assert not first._bindings
    held_to(small, first)
    assert place_of(first) is place_of(second)


def test_memory_goes_with_the_last_program():
    pages = Pages()
    held, fresh = pages.at_least(100)
    assert fresh
    again, fresh = pages.at_least(50)
    assert again is held
    assert not fresh
    del held, again
    gc.collect()
    assert pages.at_least(50)[1]


def test_room_is_left_where_addresses_are_free(monkeypatch):
    pages = Pages()
    wanted = pages_module.LARGE
    held, _ = pages.at_least(wanted)
    assert held.size == pages_module.RESERVE * wanted
    assert held.ctypes.data % pages_module.ALIGN == 0
    whole = np.zeros

    def strict(size, dtype):
        if size > 2 * wanted + pages_module.ALIGN:
            raise MemoryError
        return whole(size, dtype)

    monkeypatch.setattr(pages_module.np, "zeros", strict)
    assert Pages().at_least(2 * wanted)[0].size == 2 * wanted


def test_programs_in_several_threads():
    graphs = [products(*shape) for shape in ((64, 32), (48, 16), (128, 64))]
    programs = [compile_graph(graph) for graph in graphs]
    failures = []

    def work(at):
        try:
            for seed in range(40):
                held_to(graphs[at], programs[at], seed)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(at,)) for at in range(len(graphs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
