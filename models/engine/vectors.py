"""Vector operations in registers, which Numba does not find by itself.

Each works on a block of `BLOCK` floats or a half or a quarter of it (``width``): a row of weights,
one float an output channel. What is summed stays in registers while many rows are added. LLVM
lowers the blocks to whatever vectors the processor has.

Every function adds the same products in the same order, one after the other: leaving out the rows
that are multiplied by zero changes no bit of a sum, so a result does not tell which was used.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils as _cgutils
from numba.extending import intrinsic

__all__ = [
    "BLOCK",
    "TILE",
    "WIDTHS",
    "active_mask",
    "add_products",
    "add_rows",
    "lowest_bit",
]

BLOCK = 64
"""Most output channels that are summed at a time: four vectors of 512 bits."""
WIDTHS = (16, 32, 64)
"""The widths there are code for."""
TILE = 4
"""Positions that `add_products` best sums at a time."""

cgutils: Any = _cgutils


def _intrinsic(definition: Any) -> Any:
    """Make an intrinsic; it is called without the first argument of its definition."""
    return intrinsic(definition)


_INT = ir.IntType(64)
_FLOAT = ir.FloatType()


def _data(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    """Return the address of an array's first element."""
    return context.make_array(kind)(context, builder, array).data


def _block(builder: Any, data: Any, at: Any, width: int) -> Any:
    """Return the address of `width` floats from element `at` on, as one vector."""
    vector = ir.VectorType(_FLOAT, width)
    return builder.bitcast(builder.gep(data, [at]), vector.as_pointer())


def _for_width(builder: Any, width: Any, emit: Any) -> None:
    """Emit code for each of `WIDTHS`, of which the one asked for runs."""
    for each in WIDTHS:
        with builder.if_then(builder.icmp_signed("==", width, ir.Constant(_INT, each))):
            emit(each)


def _spread(builder: Any, value: Any, width: int) -> Any:
    """Return a vector of `width` times the same float."""
    vector = ir.VectorType(_FLOAT, width)
    one = builder.insert_element(
        ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0)
    )
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), width), None)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)


def _fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c, rounded once."""
    vector = a.type
    name = f"llvm.fma.v{vector.count}f32"
    kind = ir.FunctionType(vector, [vector, vector, vector])
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    return builder.call(function, [a, b, c])


def _load_row(builder: Any, kinds: Any, data: Any, row: Any, width: int) -> Any:
    """Return a row of weights as float32; uint16 holds float16, which costs half the memory."""
    at = builder.mul(row, ir.Constant(_INT, width))
    address = builder.gep(data, [at])
    vector = ir.VectorType(_FLOAT, width)
    if kinds.dtype == types.uint16:
        halves = ir.VectorType(ir.HalfType(), width).as_pointer()
        return builder.fpext(builder.load(builder.bitcast(address, halves), align=2), vector)
    return builder.load(builder.bitcast(address, vector.as_pointer()), align=4)


@_intrinsic
def add_rows(
    typingctx: Any,
    sums: Any,
    at: Any,
    rows: Any,
    index: Any,
    values: Any,
    binary: Any,
    ranges: Any,
    many: Any,
    width: Any,
) -> Any:
    """Add the rows ``first + index[start:stop]`` of some ranges to a block.

    Args:
        typingctx: Numba's.
        sums: float32, flat; the block begins at element `at`.
        at: Where.
        rows: float32, or float16 as uint16, flat; row r begins at element ``r * width``.
        index: uint32, flat.
        values: float32, flat: what each row is multiplied by.
        binary: bool: whether all values are 1, as of spikes, and are not read.
        ranges: int64, (ranges, 3): start, stop and first of each.
        many: Ranges that are added.
        width: Floats of a row, one of `WIDTHS`.
    """
    signature = types.void(sums, at, rows, index, values, binary, ranges, many, width)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        sums, at, rows, index, values, binary, ranges, many, width = args
        kinds = signature.args
        sums_data = _data(context, builder, kinds[0], sums)
        rows_data = _data(context, builder, kinds[2], rows)
        index_data = _data(context, builder, kinds[3], index)
        values_data = _data(context, builder, kinds[4], values)
        ranges_data = _data(context, builder, kinds[6], ranges)
        one = ir.Constant(_INT, 1)

        def add(width: int, scaled: bool) -> None:
            place = _block(builder, sums_data, at, width)
            total = cgutils.alloca_once_value(builder, builder.load(place, align=4))
            with cgutils.for_range(builder, many) as loop:
                entry = builder.mul(loop.index, ir.Constant(_INT, 3))
                start, stop, first = (
                    builder.load(
                        builder.gep(ranges_data, [builder.add(entry, ir.Constant(_INT, n))])
                    )
                    for n in range(3)
                )
                with cgutils.for_range_slice(builder, start, stop, one, _INT) as (k, _):
                    here = builder.zext(builder.load(builder.gep(index_data, [k])), _INT)
                    row = builder.add(here, first)
                    weights = _load_row(builder, kinds[2], rows_data, row, width)
                    before = builder.load(total)
                    if scaled:
                        value = builder.load(builder.gep(values_data, [k]))
                        after = _fma(builder, _spread(builder, value, width), weights, before)
                    else:
                        after = builder.fadd(before, weights)
                    builder.store(after, total)
            builder.store(builder.load(total), place, align=4)

        def emit(width: int) -> None:
            with builder.if_else(cgutils.is_not_null(builder, binary)) as (then, otherwise):
                with then:
                    add(width, scaled=False)
                with otherwise:
                    add(width, scaled=True)

        _for_width(builder, width, emit)
        return context.get_dummy_value()

    return signature, codegen


@_intrinsic
def add_products(
    typingctx: Any,
    sums: Any,
    at: Any,
    rows: Any,
    first: Any,
    inputs: Any,
    places: Any,
    many: Any,
    width: Any,
) -> Any:
    """Add ``inputs[p + k] * rows[first + k]``, k below `many`, to some blocks one after another.

    Args:
        typingctx: Numba's.
        sums: float32, flat; the blocks begin at element `at`, side by side.
        at: Where.
        rows: float32, or float16 as uint16, flat; row r begins at element ``r * width``.
        first: The first row.
        inputs: float32, flat.
        places: p of each block, a tuple of int64.
        many: Rows.
        width: Floats of a row, one of `WIDTHS`.
    """
    signature = types.void(sums, at, rows, first, inputs, places, many, width)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        sums, at, rows, first, inputs, places, many, width = args
        kinds = signature.args
        sums_data = _data(context, builder, kinds[0], sums)
        rows_data = _data(context, builder, kinds[2], rows)
        inputs_data = _data(context, builder, kinds[4], inputs)
        tile = len(kinds[5])
        starts = [builder.extract_value(places, n) for n in range(tile)]

        def emit(width: int) -> None:
            places_of = [
                _block(builder, sums_data, builder.add(at, ir.Constant(_INT, n * width)), width)
                for n in range(tile)
            ]
            totals = [
                cgutils.alloca_once_value(builder, builder.load(place, align=4))
                for place in places_of
            ]
            with cgutils.for_range(builder, many) as loop:
                row = builder.add(first, loop.index)
                weights = _load_row(builder, kinds[2], rows_data, row, width)
                for start, total in zip(starts, totals, strict=True):
                    element = builder.gep(inputs_data, [builder.add(start, loop.index)])
                    value = _spread(builder, builder.load(element), width)
                    builder.store(_fma(builder, value, weights, builder.load(total)), total)
            for place, total in zip(places_of, totals, strict=True):
                builder.store(builder.load(total), place, align=4)

        _for_width(builder, width, emit)
        return context.get_dummy_value()

    return signature, codegen


@_intrinsic
def active_mask(typingctx: Any, data: Any, at: Any) -> Any:
    """Return the 16 bits that tell which of ``data[at:at + 16]`` are not 0, the first lowest."""
    signature = types.uint64(data, at)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = signature.args[0]
        address = builder.gep(_data(context, builder, kind, args[0]), [args[1]])
        vector = ir.VectorType(address.type.pointee, 16)
        values = builder.load(builder.bitcast(address, vector.as_pointer()), align=1)
        zeros = ir.Constant(vector, None)
        if kind.dtype == types.float32:
            active = builder.fcmp_unordered("!=", values, zeros)
        else:
            active = builder.icmp_unsigned("!=", values, zeros)
        return builder.zext(builder.bitcast(active, ir.IntType(16)), _INT)

    return signature, codegen


@_intrinsic
def lowest_bit(typingctx: Any, mask: Any) -> Any:
    """Return the number of the lowest bit of a uint64 that is set; it must have one."""
    signature = types.int64(types.uint64)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return signature, codegen
