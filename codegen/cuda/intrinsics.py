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


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, place: Any) -> Any:
    """The address of four elements from ``place`` on, as of one vector; and its alignment."""
    data = context.make_array(array_type)(context, builder, array).data
    element = context.get_data_type(array_type.dtype)
    vector = llvm_ir.VectorType(element, WIDTH)
    address = builder.gep(data, [place])
    size = context.get_abi_sizeof(element)
    return builder.bitcast(address, vector.as_pointer()), vector, min(16, WIDTH * size)


@intrinsic
def load4(typingctx, array, place):
    """Four neighbours from ``place`` on, which begin at a multiple of their size (16 at most)."""
    result = types.UniTuple(array.dtype, WIDTH)

    def codegen(context, builder, signature, args):
        pointer, _, align = _pointer(context, builder, array, args[0], args[1])
        loaded = builder.load(pointer, align=align)
        model = context.data_model_manager[array.dtype]
        words = [
            builder.extract_element(loaded, llvm_ir.Constant(llvm_ir.IntType(32), at))
            for at in range(WIDTH)
        ]
        values = [model.from_data(builder, word) for word in words]
        return context.make_tuple(builder, result, values)

    return result(array, types.int64), codegen


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


_MMA = (
    "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
    "{$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, {$10, $11, $12, $13};"
)


@intrinsic
def multiply_tf32(typingctx, a, b, sums):
    """A warp's ``sums + a @ b`` of 16 x 8 and 8 x 8 elements, by its tensor core."""
    result = types.UniTuple(types.float32, 4)

    def codegen(context, builder, signature, args):
        word, real = llvm_ir.IntType(32), llvm_ir.FloatType()
        four = llvm_ir.LiteralStructType([real] * 4)
        kind = llvm_ir.FunctionType(four, [word] * 6 + [real] * 4)
        code = llvm_ir.InlineAsm(kind, _MMA, "=f,=f,=f,=f,r,r,r,r,r,r,f,f,f,f", side_effect=True)
        counts = zip(args, (4, 2, 4), strict=True)
        parts = [builder.extract_value(arg, at) for arg, count in counts for at in range(count)]
        made = builder.call(code, parts)
        return context.make_tuple(
            builder, result, [builder.extract_value(made, at) for at in range(4)]
        )

    return result(a, b, sums), codegen


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
