"""LLVM for what generated kernels call: 32-bit division of places, loads and stores of 16 bytes.

Places are known to be between 0 and 2**31 where these are called, so a division is one of 32 bits,
which is a multiplication where the divisor is a number; Numba's own would be one of 64 bits that
rounds down. Numba knows of arrays only that their elements are aligned; the emitter knows better.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import importlib
from typing import Any

from llvmlite import ir as llvm_ir

types: Any = importlib.import_module("numba.cuda").types
intrinsic: Any = importlib.import_module("numba.cuda.extending").intrinsic

WIDTH = 4  # elements of one wide access


def _narrow(name: str):
    """``name`` (an unsigned instruction) in 32 bits on two places."""

    def codegen(context, builder, signature, args):
        word, long = llvm_ir.IntType(32), llvm_ir.IntType(64)
        one, by = (builder.trunc(arg, word) if arg.type.width > 32 else arg for arg in args)
        return builder.zext(getattr(builder, name)(one, by), long)

    return codegen


@intrinsic
def quotient(typingctx, place, by):
    """``place // by`` of places below 2**31."""
    return types.int64(place, by), _narrow("udiv")


@intrinsic
def remainder(typingctx, place, by):
    """``place % by`` of places below 2**31."""
    return types.int64(place, by), _narrow("urem")


def _pointer(
    context: Any, builder: Any, array_type: Any, array: Any, place: Any, width: int = WIDTH
) -> Any:
    """The address of ``width`` elements from ``place`` on, as of a vector; and its alignment."""
    data = context.make_array(array_type)(context, builder, array).data
    element = context.get_data_type(array_type.dtype)
    vector = llvm_ir.VectorType(element, width)
    address = builder.gep(data, [place])
    size = context.get_abi_sizeof(element)
    return builder.bitcast(address, vector.as_pointer()), vector, min(16, width * size)


def _load(array: Any, width: int) -> Any:
    """The signature and the LLVM of a load of ``width`` neighbours."""
    result = types.UniTuple(array.dtype, width)

    def codegen(context, builder, signature, args):
        pointer, _, align = _pointer(context, builder, array, args[0], args[1], width)
        loaded = builder.load(pointer, align=align)
        model = context.data_model_manager[array.dtype]
        words = [
            builder.extract_element(loaded, llvm_ir.Constant(llvm_ir.IntType(32), at))
            for at in range(width)
        ]
        values = [model.from_data(builder, word) for word in words]
        return context.make_tuple(builder, result, values)

    return result(array, types.int64), codegen


@intrinsic
def load4(typingctx, array, place):
    """Four neighbours from ``place`` on, which begin at a multiple of their size (16 at most)."""
    return _load(array, WIDTH)


@intrinsic
def load2(typingctx, array, place):
    """Two neighbours from ``place`` on, which begin at a multiple of their size."""
    return _load(array, 2)


@intrinsic
def store4(typingctx, array, place, values):
    """Store four neighbours as ``load4`` loads them."""

    def codegen(context, builder, signature, args):
        pointer, vector, align = _pointer(context, builder, array, args[0], args[1])
        model = context.data_model_manager[array.dtype]
        word = llvm_ir.IntType(32)
        out = llvm_ir.Constant(vector, llvm_ir.Undefined)
        for at in range(WIDTH):
            value = context.cast(
                builder, builder.extract_value(args[2], at), values.types[at], array.dtype
            )
            data = model.as_data(builder, value)
            out = builder.insert_element(out, data, llvm_ir.Constant(word, at))
        builder.store(out, pointer, align=align)
        return context.get_dummy_value()

    return types.void(array, types.int64, values), codegen


@intrinsic
def tf32(typingctx, value):
    """A float32 rounded to 10 bits of mantissa, in the word that tensor cores take."""

    def codegen(context, builder, signature, args):
        kind = llvm_ir.FunctionType(llvm_ir.IntType(32), [llvm_ir.FloatType()])
        return builder.call(llvm_ir.InlineAsm(kind, "cvt.rna.tf32.f32 $0, $1;", "=r,f"), args)

    return types.int32(types.float32), codegen


def _mma(shape: str, kind: str):
    """A warp's ``sums + a @ b`` by one instruction of its tensor core."""
    text = (
        f"mma.sync.aligned.{shape}.row.col.f32.{kind}.{kind}.f32 "
        "{$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, {$10, $11, $12, $13};"
    )

    def codegen(context, builder, signature, args):
        word, real = llvm_ir.IntType(32), llvm_ir.FloatType()
        four = llvm_ir.LiteralStructType([real] * 4)
        form = llvm_ir.FunctionType(four, [word] * 6 + [real] * 4)
        code = llvm_ir.InlineAsm(form, text, "=f,=f,=f,=f,r,r,r,r,r,r,f,f,f,f", side_effect=True)
        counts = zip(args, (4, 2, 4), strict=True)
        parts = [builder.extract_value(arg, at) for arg, count in counts for at in range(count)]
        made = builder.call(code, parts)
        values = [builder.extract_value(made, at) for at in range(4)]
        return context.make_tuple(builder, signature.return_type, values)

    return codegen


@intrinsic
def multiply_tf32(typingctx, a, b, sums):
    """A warp's ``sums + a @ b`` of 16 x 8 and 8 x 8 elements, by its tensor core."""
    return types.UniTuple(types.float32, 4)(a, b, sums), _mma("m16n8k8", "tf32")


@intrinsic
def multiply_bf16(typingctx, a, b, sums):
    """A warp's ``sums + a @ b`` of 16 x 16 and 16 x 8 elements, by its tensor core."""
    return types.UniTuple(types.float32, 4)(a, b, sums), _mma("m16n8k16", "bf16")


@intrinsic
def multiply_f16(typingctx, a, b, sums):
    """A warp's ``sums + a @ b`` of 16 x 16 and 16 x 8 elements, by its tensor core."""
    return types.UniTuple(types.float32, 4)(a, b, sums), _mma("m16n8k16", "f16")


def _pack(kind: str):
    """Two float32 as halves in one word, the first one in its lower bits."""

    def codegen(context, builder, signature, args):
        real = llvm_ir.FloatType()
        form = llvm_ir.FunctionType(llvm_ir.IntType(32), [real, real])
        code = llvm_ir.InlineAsm(form, f"cvt.rn.{kind}x2.f32 $0, $1, $2;", "=r,f,f")
        return builder.call(code, args[::-1])

    return codegen


@intrinsic
def pack_bf16(typingctx, low, high):
    """Two numbers rounded to bfloat16, in the word that tensor cores take."""
    return types.int32(types.float32, types.float32), _pack("bf16")


@intrinsic
def pack_f16(typingctx, low, high):
    """Two numbers rounded to float16, in the word that tensor cores take."""
    return types.int32(types.float32, types.float32), _pack("f16")


@intrinsic
def widen_f16(typingctx, bits):
    """The float32 of a float16's bits."""

    def codegen(context, builder, signature, args):
        half = builder.bitcast(args[0], llvm_ir.HalfType())
        return builder.fpext(half, llvm_ir.FloatType())

    return types.float32(types.uint16), codegen


@intrinsic
def round_f16(typingctx, value):
    """The bits of the nearest float16, ties to even."""

    def codegen(context, builder, signature, args):
        half = builder.fptrunc(args[0], llvm_ir.HalfType())
        return builder.bitcast(half, llvm_ir.IntType(16))

    return types.uint16(types.float32), codegen


@intrinsic
def widen_bf16(typingctx, bits):
    """The float32 of a bfloat16's bits."""

    def codegen(context, builder, signature, args):
        word = llvm_ir.IntType(32)
        high = builder.shl(builder.zext(args[0], word), llvm_ir.Constant(word, 16))
        return builder.bitcast(high, llvm_ir.FloatType())

    return types.float32(types.uint16), codegen


@intrinsic
def round_bf16(typingctx, value):
    """The bits of the nearest bfloat16, ties to even."""

    def codegen(context, builder, signature, args):
        form = llvm_ir.FunctionType(llvm_ir.IntType(16), [llvm_ir.FloatType()])
        return builder.call(llvm_ir.InlineAsm(form, "cvt.rn.bf16.f32 $0, $1;", "=h,f"), args)

    return types.uint16(types.float32), codegen


def _whole(name: str):
    """The LLVM intrinsic ``name`` on one float: Numba's target has NumPy's for arrays alone."""

    def codegen(context, builder, signature, args):
        (value,) = args
        function = builder.module.declare_intrinsic(name, [value.type])
        return builder.call(function, args)

    return codegen


@intrinsic
def floor(typingctx, value):
    """The next whole number below, as a float."""
    return value(value), _whole("llvm.floor")


@intrinsic
def ceil(typingctx, value):
    """The next whole number above, as a float."""
    return value(value), _whole("llvm.ceil")
