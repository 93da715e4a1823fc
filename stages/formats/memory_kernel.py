"""Numbers at any byte of an array, for Numba kernels: one unaligned load or store each.

Numba's own indexing reaches a byte at a time, and asks at each whether its index counts from the
end; both cost more than all the rest of a decoder. Nothing here checks a bound: the kernel does.
In an array of wider items a place counts these, as an index does.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

__all__ = [
    "copy8",
    "copy16",
    "fence",
    "load8",
    "load16",
    "load32",
    "load64",
    "pass16",
    "store16",
    "store32",
    "store64",
]


def _place(context: Any, builder: Any, kind: Any, array: Any, at: Any, item: Any) -> Any:
    place = builder.gep(context.make_array(kind)(context, builder, array).data, [at])
    return builder.bitcast(place, item.as_pointer())


def _load(bits: int) -> Any:
    @intrinsic
    def load(typing: Any, array: Any, at: Any) -> Any:
        """Return the unsigned number at a byte of an array of bytes, as int64."""

        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            item = ir.IntType(bits)
            number = builder.load(
                _place(context, builder, signature.args[0], values[0], values[1], item)
            )
            number.align = 1
            return number if bits == 64 else builder.zext(number, ir.IntType(64))

        return types.int64(array, types.intp), code

    return load


def _copy(bits: int, past_caches: bool = False) -> Any:
    @intrinsic
    def copy(typing: Any, target: Any, to: Any, source: Any, begin: Any) -> Any:
        """Copy so many bits from a byte of one array to a byte of another.

        Past the caches that byte must be at a multiple of the width, and `fence` must follow.
        """

        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            item = ir.VectorType(ir.IntType(64), bits // 64)
            kinds = signature.args
            number = builder.load(_place(context, builder, kinds[2], values[2], values[3], item))
            number.align = 1
            place = _place(context, builder, kinds[0], values[0], values[1], item)
            store = builder.store(number, place)
            store.align = 1
            if past_caches:
                store.align = bits // 8
                yes = builder.module.add_metadata([ir.IntType(32)(1)])
                store.set_metadata("nontemporal", yes)
            return context.get_dummy_value()

        return types.void(target, types.intp, source, types.intp), code

    return copy


def _store(bits: int) -> Any:
    @intrinsic
    def store(typing: Any, array: Any, at: Any, number: Any) -> Any:
        """Put the lowest so many bits of an int64 at a byte of an array of bytes."""

        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            item = ir.IntType(bits)
            place = _place(context, builder, signature.args[0], values[0], values[1], item)
            number = values[2] if bits == 64 else builder.trunc(values[2], item)
            builder.store(number, place).align = 1
            return context.get_dummy_value()

        return types.void(array, types.intp, types.int64), code

    return store


def _fence() -> Any:
    @intrinsic
    def fence(typing: Any) -> Any:
        """Let other cores see what was stored before they see what is stored from here on."""

        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            builder.fence("seq_cst")
            return context.get_dummy_value()

        return types.void(), code

    return fence


fence = _fence()
load8, load16, load32, load64 = (_load(bits) for bits in (8, 16, 32, 64))
copy8, copy16 = _copy(64), _copy(128)
pass16 = _copy(128, past_caches=True)
store16, store32, store64 = (_store(bits) for bits in (16, 32, 64))
