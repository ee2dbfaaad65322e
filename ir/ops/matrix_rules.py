"""The ops of matrices and a cotangent in, the cotangents of their operands out.

Each formula is the usual one of reverse-mode matrix calculus (Giles 2008; Townsend 2016 for the
singular values; PyTorch's FunctionsManual for what they leave open), written with the functions
of ``ir.make``, so that it differentiates again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ir.types import I64 as _INDEX

Parts = Sequence[Any]


def matmul(m: Any, a: Any, b: Any) -> Any:
    """The products of two equal batches of matrices."""
    rank = a.type.rank
    heads = tuple(range(rank - 2))
    return m.dot(a, b, ((rank - 1,), (rank - 2,)), (heads, heads))


def flipped(m: Any, x: Any) -> Any:
    """The matrices transposed."""
    rank = x.type.rank
    return m.transpose(x, (*range(rank - 2), rank - 1, rank - 2))


def cut(m: Any, x: Any, axis: int, start: Any, stop: Any) -> Any:
    """``x[..., start:stop, ...]`` along ``axis`` (negative: from the end)."""
    axis %= x.type.rank
    low = tuple(start if a == axis else 0 for a in range(x.type.rank))
    high = tuple(stop if a == axis else size for a, size in enumerate(x.shape))
    return m.slice(x, low, high, (1,) * x.type.rank)


def column(m: Any, x: Any, at: int) -> Any:
    """A vector of each matrix."""
    return m.reshape(cut(m, x, -1, at, at + 1), x.shape[:-1])


def row(m: Any, x: Any, at: int) -> Any:
    """A row of each matrix."""
    return m.reshape(cut(m, x, -2, at, at + 1), (*x.shape[:-2], x.shape[-1]))


def spread(m: Any, x: Any, shape: Sequence[Any], *axes: int) -> Any:
    """``x`` repeated to ``shape``; its last axes lie on ``axes`` (negative), the rest in front."""
    rank = len(shape)
    heads = range(x.type.rank - len(axes))
    return m.broadcast(x, tuple(shape), (*heads, *(axis % rank for axis in axes)))


def _order(m: Any, x: Any, name: str) -> Any:
    """A mask of ``row name column`` for matrices like ``x``."""
    rank = x.type.rank
    kind = _INDEX
    return m.apply(name, m.iota(x.shape, rank - 2, kind), m.iota(x.shape, rank - 1, kind))


def triangle(m: Any, x: Any, name: str) -> Any:
    """Zero but where ``row name column``: "ge" the lower triangle, "gt" without its diagonal."""
    return m.select(_order(m, x, name), x, m.full_like(x, 0.0))


def _half_diagonal(m: Any, x: Any) -> Any:
    return m.select(_order(m, x, "eq"), m.mul(x, 0.5), x)


def _identity(m: Any, x: Any) -> Any:
    return m.cast(_order(m, x, "eq"), x.dtype)


def _solved(m: Any, a: Any, b: Any, upper: bool, unit: bool = False) -> Any:
    return m.apply("triangular_solve", a, b, upper=upper, unit=unit)


def _solved_right(m: Any, a: Any, b: Any, upper: bool, unit: bool = False) -> Any:
    """``b a^-1``."""
    return flipped(m, _solved(m, flipped(m, a), flipped(m, b), not upper, unit))


def cholesky(m: Any, n: Any, g: Any) -> Parts:
    lower = n
    up = flipped(m, lower)
    phi = _half_diagonal(m, triangle(m, matmul(m, up, triangle(m, g, "ge")), "ge"))
    both = m.mul(m.add(phi, flipped(m, phi)), 0.5)
    left = _solved(m, up, both, True)
    return (_solved_right(m, lower, left, False),)


def inverse(m: Any, n: Any, g: Any) -> Parts:
    back = flipped(m, n)
    return (m.neg(matmul(m, matmul(m, back, g), back)),)


def solve(m: Any, n: Any, g: Any) -> Parts:
    a = n.inputs[0]
    gb = m.apply("solve", flipped(m, a), g, check=n.attrs["check"])
    return m.neg(matmul(m, gb, flipped(m, n))), gb


def triangular_solve(m: Any, n: Any, g: Any) -> Parts:
    a, upper, unit = n.inputs[0], n.attrs["upper"], n.attrs["unit"]
    gb = _solved(m, flipped(m, a), g, not upper, unit)
    ga = m.neg(matmul(m, gb, flipped(m, n)))
    name = {(True, False): "le", (True, True): "lt", (False, False): "ge", (False, True): "gt"}
    return triangle(m, ga, name[upper, unit]), gb


def det(m: Any, n: Any, g: Any) -> Parts:
    a = n.inputs[0]
    cofactors = flipped(m, m.apply("adjugate", a))
    return (m.mul(spread(m, g, a.shape), cofactors),)


def adjugate(m: Any, n: Any, g: Any) -> Parts:
    """Of ``det(a) a^-1``: the matrix must be regular here."""
    a = n.inputs[0]
    back = m.apply("inverse", a, check=True)
    rank = a.type.rank
    inner = spread(m, m.sum(m.mul(g, back), (rank - 2, rank - 1)), a.shape)
    bent = flipped(m, back)
    other = matmul(m, matmul(m, bent, g), flipped(m, n))
    return (m.sub(m.mul(inner, flipped(m, n)), other),)


def slogdet(m: Any, n: Any, g: Any) -> Parts:
    a = n.inputs[0]
    bent = flipped(m, m.apply("inverse", a, check=True))
    return (m.mul(spread(m, column(m, g, 1), a.shape), bent),)


def _ratio(m: Any, top: Any, bottom: Any) -> Any:
    """``top / bottom``, zero where both are: equal values whose vectors nobody differentiates."""
    none = m.apply("and", m.eq(top, 0.0), m.eq(bottom, 0.0))
    return m.div(top, m.select(none, m.full_like(bottom, 1.0), bottom))


def _gaps(m: Any, values: Any, shape: Sequence[Any]) -> Any:
    """``values[j] - values[i]``, one on the diagonal."""
    gaps = m.sub(spread(m, values, shape, -1), spread(m, values, shape, -2))
    return m.add(gaps, _identity(m, gaps))


def _diagonal(m: Any, values: Any, shape: Sequence[Any]) -> Any:
    wide = spread(m, values, shape, -2)
    return triangle(m, wide, "eq")


def eigh(m: Any, n: Any, g: Any) -> Parts:
    size = n.shape[-2]
    values, vectors = column(m, n, 0), cut(m, n, -1, 1, size + 1)
    back = flipped(m, vectors)
    inner = matmul(m, back, cut(m, g, -1, 1, size + 1))
    skew = m.mul(m.sub(inner, flipped(m, inner)), 0.5)
    inner = _ratio(m, skew, _gaps(m, values, skew.shape))
    inner = m.add(inner, _diagonal(m, column(m, g, 0), skew.shape))
    return (matmul(m, matmul(m, vectors, inner), back),)


def _unpacked(m: Any, x: Any, rows: int, k: int) -> tuple[Any, Any, Any]:
    """U, S and V of a packed singular value decomposition, the first ``k`` columns."""
    x = cut(m, x, -1, 0, k)
    return cut(m, x, -2, 0, rows), row(m, x, rows), cut(m, x, -2, rows + 1, x.shape[-2])


def svd(m: Any, n: Any, g: Any) -> Parts:
    rows, columns = n.inputs[0].shape[-2:]
    k = min(rows, columns)
    u, s, v = _unpacked(m, n, rows, k)
    gu, gs, gv = _unpacked(m, g, rows, k)
    batch = n.shape[:-2]
    square = (*batch, k, k)
    ut, vt = flipped(m, u), flipped(m, v)
    skew_u, skew_v = matmul(m, ut, gu), matmul(m, vt, gv)
    skew_u = m.sub(skew_u, flipped(m, skew_u))
    skew_v = m.sub(skew_v, flipped(m, skew_v))
    wide, tall = spread(m, s, square, -1), spread(m, s, square, -2)
    gaps = m.sub(m.mul(wide, wide), m.mul(tall, tall))
    gaps = m.add(gaps, _identity(m, gaps))
    inner = _ratio(m, m.add(m.mul(skew_u, wide), m.mul(tall, skew_v)), gaps)
    inner = m.add(inner, _diagonal(m, gs, square))
    out = matmul(m, matmul(m, u, inner), vt)
    if rows > k:
        rest = _ratio(m, m.sub(gu, matmul(m, u, matmul(m, ut, gu))), spread(m, s, gu.shape, -1))
        out = m.add(out, matmul(m, rest, vt))
    if columns > k:
        rest = _ratio(m, m.sub(gv, matmul(m, v, matmul(m, vt, gv))), spread(m, s, gv.shape, -1))
        out = m.add(out, matmul(m, u, flipped(m, rest)))
    return (out,)


def qr(m: Any, n: Any, g: Any) -> Parts:
    a = n.inputs[0]
    rows, columns = a.shape[-2:]
    k = n.shape[-1]
    if k > min(rows, columns):
        raise NotImplementedError("the complete QR of a tall matrix has no derivative")
    q, r = cut(m, n, -2, 0, rows), flipped(m, cut(m, n, -2, rows, rows + columns))
    gq, gr = cut(m, g, -2, 0, rows), flipped(m, cut(m, g, -2, rows, rows + columns))
    inner = m.sub(matmul(m, gr, flipped(m, r)), matmul(m, flipped(m, q), gq))
    if rows >= columns:
        upper = triangle(m, inner, "le")
        both = _half_diagonal(m, m.add(upper, flipped(m, upper)))
        return (_solved_right(m, flipped(m, r), m.add(matmul(m, q, both), gq), False),)
    skew = triangle(m, m.sub(flipped(m, inner), inner), "ge")
    square = flipped(m, cut(m, r, -1, 0, k))
    left = _solved_right(m, square, matmul(m, q, skew), False)
    pad = (0,) * (a.type.rank - 1)
    left = m.pad(left, (*pad, 0), (*pad, columns - k))
    return (m.add(left, matmul(m, q, gr)),)


def pinv(m: Any, n: Any, g: Any) -> Parts:
    a, p = n.inputs[0], n
    gt, pt = flipped(m, g), flipped(m, p)
    if a.shape[-2] <= a.shape[-1]:
        k = matmul(m, gt, p)
        kp = matmul(m, k, pt)
        out = m.sub(kp, flipped(m, matmul(m, p, k)))
        out = m.sub(out, matmul(m, matmul(m, a, p), kp))
        rest = m.sub(gt, matmul(m, k, a))
        return m.add(out, matmul(m, matmul(m, pt, p), rest)), None, None
    k = matmul(m, p, gt)
    pk = matmul(m, pt, k)
    out = m.sub(pk, flipped(m, matmul(m, k, p)))
    rest = m.sub(gt, matmul(m, a, k))
    out = m.add(out, matmul(m, matmul(m, rest, p), pt))
    return m.sub(out, matmul(m, matmul(m, pk, p), a)), None, None


def lu(m: Any, n: Any, g: Any) -> Parts:
    rows, columns = n.inputs[0].shape[-2:]
    k = min(rows, columns)
    batch = n.shape[:-2]
    factors, slopes = cut(m, n, -1, 0, columns), cut(m, g, -1, 0, columns)

    def part(x: Any, r0: int, r1: int, c0: int, c1: int) -> Any:
        return cut(m, cut(m, x, -2, r0, r1), -1, c0, c1)

    head, head_g = part(factors, 0, k, 0, k), part(slopes, 0, k, 0, k)
    lower = m.add(triangle(m, head, "gt"), _identity(m, head))
    upper = triangle(m, head, "le")
    up, down = flipped(m, lower), flipped(m, upper)
    phi_l = matmul(m, up, triangle(m, head_g, "gt"))
    phi_u = matmul(m, triangle(m, head_g, "le"), down)
    if columns > k:
        right, right_g = part(factors, 0, k, k, columns), part(slopes, 0, k, k, columns)
        phi_l = m.sub(phi_l, matmul(m, right_g, flipped(m, right)))
    if rows > k:
        below, below_g = part(factors, k, rows, 0, k), part(slopes, k, rows, 0, k)
        phi_u = m.sub(phi_u, matmul(m, flipped(m, below), below_g))
    phi = m.add(triangle(m, phi_l, "gt"), triangle(m, phi_u, "le"))
    out = _solved_right(m, down, _solved(m, up, phi, True, True), False)
    if columns > k:
        out = m.concatenate([out, _solved(m, up, right_g, True, True)], out.type.rank - 1)
    if rows > k:
        out = m.concatenate([out, _solved_right(m, down, below_g, False)], out.type.rank - 2)
    came = m.cast(column(m, n, columns + 1), _INDEX)
    square = (*batch, rows, rows)
    swap = m.eq(m.iota(square, len(batch), _INDEX), spread(m, came, square, -1))
    return (matmul(m, m.cast(swap, n.dtype), out),)
