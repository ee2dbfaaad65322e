"""A vector width in, the LLVM text of the kernels that find a CPU's limits out.

Each is a kernel like any other (``codegen.driver``), and walks its share ``dims[0]`` times over:
``fma_*`` does multiply-adds on registers alone, ``read`` and ``triad`` go through memory.
"""

from __future__ import annotations

from collections.abc import Callable

SYMBOLS = ("fma_float", "fma_double", "read", "triad")
UNROLL = 8  # vectors a turn: as many chains of additions as hide an addition's latency

_KERNEL = """
define void @{name}(ptr %args, ptr %dims, i64 %begin, i64 %end) nounwind {{
entry:
  %a = load ptr, ptr %args, align 8
  %b.p = getelementptr ptr, ptr %args, i64 1
  %b = load ptr, ptr %b.p, align 8
  %c.p = getelementptr ptr, ptr %args, i64 2
  %c = load ptr, ptr %c.p, align 8
  %times = load i64, ptr %dims, align 8
{before}
  br label %again
again:
  %time = phi i64 [ 0, %entry ], [ %time1, %next ]
{carried}
  br label %turn
turn:
  %i = phi i64 [ %begin, %again ], [ %i1, %turn ]
{body}
  %i1 = add i64 %i, 1
  %more = icmp ult i64 %i1, %end
  br i1 %more, label %turn, label %next
next:
  %time1 = add i64 %time, 1
  %on = icmp ult i64 %time1, %times
  br i1 %on, label %again, label %out
out:
{after}
  ret void
}}
"""


def machine_text(vector_bits: int, registers: int) -> str:
    """All kernels for vectors of that many bits; sums stay in half to three quarters of the
    registers."""
    floats, doubles = vector_bits // 32, vector_bits // 64
    chains = registers * 3 // 4
    parts = [
        f"declare <{floats} x float> @llvm.fma.v{floats}f32(<{floats} x float>, "
        f"<{floats} x float>, <{floats} x float>)",
        f"declare <{doubles} x double> @llvm.fma.v{doubles}f64(<{doubles} x double>, "
        f"<{doubles} x double>, <{doubles} x double>)",
        _fma("float", floats, 32, chains),
        _fma("double", doubles, 64, chains),
        _read(floats),
        _triad(floats),
    ]
    return "\n".join(parts)


def unit_bytes(vector_bits: int) -> int:
    """Bytes of each array that one unit of ``read`` or ``triad`` goes through."""
    return UNROLL * vector_bits // 8


def flops_of_turn(vector_bits: int, registers: int, itemsize: int) -> int:
    """What one turn of ``fma_*`` does."""
    return 2 * (registers * 3 // 4) * (vector_bits // 8 // itemsize)


def _fma(kind: str, lanes: int, bits: int, chains: int) -> str:
    """``s = s * x + y`` in every chain; each one's end goes to memory, so that none is dropped."""
    vector = f"<{lanes} x {kind}>"
    before = f"  %x = load {vector}, ptr %b, align 64\n  %y = load {vector}, ptr %c, align 64"

    def step(at: int) -> str:
        operands = f"{vector} %s{at}, {vector} %x, {vector} %y"
        return f"  %n{at} = call {vector} @llvm.fma.v{lanes}f{bits}({operands})"

    return _chained(f"fma_{kind}", vector, chains, "%y", before, step)


def _read(lanes: int) -> str:
    vector = f"<{lanes} x float>"

    def step(at: int) -> str:
        return (
            f"{_element('b', at, vector)}\n"
            f"  %v{at} = load {vector}, ptr %b{at}, align 64\n"
            f"  %n{at} = fadd {vector} %s{at}, %v{at}"
        )

    return _chained("read", vector, UNROLL, "zeroinitializer", "", step)


def _triad(lanes: int) -> str:
    """``a = b + x * c``."""
    vector = f"<{lanes} x float>"
    lines = []
    for at in range(UNROLL):
        lines += [_element(name, at, vector) for name in "abc"]
        lines += [
            f"  %l{at} = load {vector}, ptr %b{at}, align 64",
            f"  %r{at} = load {vector}, ptr %c{at}, align 64",
            f"  %v{at} = call {vector} @llvm.fma.v{lanes}f32({vector} %r{at}, {vector} %x, "
            f"{vector} %l{at})",
            f"  store {vector} %v{at}, ptr %a{at}, align 64",
        ]
    before = f"  %x = load {vector}, ptr %b, align 64"
    return _KERNEL.format(name="triad", before=before, carried="", body="\n".join(lines), after="")


def _chained(
    name: str, vector: str, chains: int, first: str, before: str, step: Callable[[int], str]
) -> str:
    """A kernel that carries ``chains`` vectors through all turns and stores what they end as."""
    carried = [
        f"  %o{at} = phi {vector} [ {first}, %entry ], [ %n{at}, %next ]" for at in range(chains)
    ]
    inner = [
        f"  %s{at} = phi {vector} [ %o{at}, %again ], [ %n{at}, %turn ]" for at in range(chains)
    ]
    after = []
    for at in range(chains):
        after.append(f"  %e{at} = getelementptr {vector}, ptr %a, i64 {at}")
        after.append(f"  store {vector} %n{at}, ptr %e{at}, align 64")
    body = [*inner, *(step(at) for at in range(chains))]
    return _KERNEL.format(
        name=name,
        before=before,
        carried="\n".join(carried),
        body="\n".join(body),
        after="\n".join(after),
    )


def _element(name: str, at: int, vector: str) -> str:
    """The address of vector ``at`` of unit ``%i`` of an array."""
    return (
        f"  %{name}u{at} = getelementptr [{UNROLL} x {vector}], ptr %{name}, i64 %i\n"
        f"  %{name}{at} = getelementptr {vector}, ptr %{name}u{at}, i64 {at}"
    )
