"""Objects: emitted for this CPU, loaded back, their arithmetic exactly what the text says."""

import ctypes
import math
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest

from codegen.native import (
    NativeError,
    emit_asm,
    emit_object,
    emit_objects,
    host,
    load_object,
    load_objects,
)

LIBM = """
declare float @expf(float)
declare float @erff(float)
declare float @tanhf(float)
declare double @pow(double, double)

define float @soup(float %x) {
  %a = call float @expf(float %x)
  %b = call float @erff(float %a)
  %c = call float @tanhf(float %b)
  %d = fpext float %c to double
  %e = call double @pow(double %d, double 3.0)
  %f = fptrunc double %e to float
  ret float %f
}
"""
CHAIN = """
define float @f(float %a, float %b, float %c) {{
  {body}
}}
"""
APART = CHAIN.format(body="%m = fmul float %a, %b\n  %s = fadd float %m, %c\n  ret float %s")
TOGETHER = "declare float @llvm.fmuladd.f32(float, float, float)\n" + CHAIN.format(
    body="%s = call float @llvm.fmuladd.f32(float %a, float %b, float %c)\n  ret float %s"
)


def function(text, name, *types):
    return ctypes.CFUNCTYPE(*types)(load_object(emit_object(text), [name])[name])


def test_libm_comes_from_the_process():
    soup = function(LIBM, "soup", ctypes.c_float, ctypes.c_float)
    assert soup(0.3) == pytest.approx(math.tanh(math.erf(math.exp(0.3))) ** 3, rel=1e-6)


def test_multiply_adds_fuse_only_where_the_text_says():
    def value(text):
        types = [ctypes.c_float] * 4
        return function(text, "f", *types)(np.float32(1 + 2**-12), np.float32(1 + 2**-12), -1.0)

    assert value(APART) == np.float32(np.float32((1 + 2**-12) ** 2) - 1)
    assert "fma" not in emit_asm(APART)
    if "+fma" in host().features.split(",") or host().triple.startswith(("aarch64", "arm64")):
        assert value(TOGETHER) == np.float32((1 + 2**-12) ** 2 - 1)


def test_the_same_name_in_two_objects_is_two_functions():
    texts = [f"define i64 @one() {{\n  ret i64 {n}\n}}" for n in (1, 2)]
    first, second = (function(text, "one", ctypes.c_int64) for text in texts)
    assert (first(), second()) == (1, 2)


def test_several_objects_are_loaded_as_one():
    texts = (f"define i64 @n{n}() {{\n  ret i64 {n}\n}}" for n in range(5))
    names = [f"n{n}" for n in range(5)]
    found = load_objects(emit_objects(texts), names)
    assert [ctypes.CFUNCTYPE(ctypes.c_int64)(found[name])() for name in names] == list(range(5))


def test_one_bad_text_of_several_is_refused():
    with pytest.raises(NativeError, match="LLVM rejects"):
        emit_objects([APART, "define void @f( {", APART])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("define void @f( {", "LLVM rejects"),
        ("define i32 @f() {\n  ret i32 %x\n}", "LLVM rejects"),
        ("declare void @no_such_callee()", "calls no_such_callee"),
    ],
)
def test_bad_text_is_refused(text, said):
    with pytest.raises(NativeError, match=said):
        emit_object(text)


def test_bad_objects_are_refused():
    with pytest.raises(NativeError, match="does not load"):
        load_object(b"not an object" * 20, ["f"])
    with pytest.raises(NativeError, match="does not load"):
        load_object(emit_object(APART), ["g"])


def test_host_describes_this_cpu():
    here = host()
    assert here.lanes(4) == here.vector_bits // 32 >= 4
    assert here.vector_registers in (16, 32)
    assert here.cpu in here.key


@pytest.mark.skipif(not host().triple.startswith("x86_64"), reason="names an x86 CPU")
def test_another_cpu_gets_its_own_code():
    wide = "define <16 x float> @f(<16 x float> %a) {\n  %s = fadd <16 x float> %a, %a\n"
    wide += "  ret <16 x float> %s\n}"
    haswell = replace(host(), cpu="haswell", features="")
    text = emit_asm(wide, haswell)
    assert "ymm" in text
    assert "zmm" not in text


def test_many_threads_build_and_load():
    found = {}

    def build(n):
        text = f"define i64 @f(i64 %x) {{\n  %y = mul i64 %x, {n}\n  ret i64 %y\n}}"
        found[n] = function(text, "f", ctypes.c_int64, ctypes.c_int64)

    threads = [threading.Thread(target=build, args=(n,)) for n in range(2, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[n](7) for n in range(2, 10)] == [7 * n for n in range(2, 10)]


def test_numba_is_not_imported():
    code = "import sys, codegen.driver; codegen.native.host(); assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
