"""Arrays, and named tuples of arrays, within compiled functions."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import impl_ret_borrowed
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, intrinsic, lower_getattr_generic, models, register_model
from numba.np.arrayobj import populate_array

from spane_rllib.core.compiling import inlined


def _flat(_context: Any, array: Any) -> Any:
    """The items of a contiguous array as an array of one dimension, of the same memory.

    `ravel` and `reshape` are the same, and take numba half a second to compile.
    """
    if not isinstance(array, types.Array) or array.layout != "C":
        return None
    line = array.copy(ndim=1)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        whole = context.make_array(array)(context, builder, arguments[0])
        flat = context.make_array(line)(context, builder)
        populate_array(
            flat,
            data=whole.data,
            shape=[whole.nitems],
            strides=[whole.itemsize],
            itemsize=whole.itemsize,
            meminfo=whole.meminfo,
            parent=whole.parent,
        )
        return impl_ret_borrowed(context, builder, line, flat._getvalue())

    return line(array), generate


flat: Any = intrinsic(_flat)


@inlined
def copy_into(target: npt.NDArray[Any], source: npt.NDArray[Any]) -> None:
    """`target[...] = source` for contiguous arrays of one shape.

    Numba compiles the message of a wrong shape anew for every such assignment, which takes seconds.
    """
    values, copied = flat(target), flat(source)
    for index in range(copied.size):
        values[index] = copied[index]


class _Borrowed(types.Type):
    """A named tuple in the memory of the compiled function that has borrowed it."""

    def __init__(self, content: types.BaseNamedTuple) -> None:
        self.names = content.fields
        self.kinds = tuple(map(_borrowed_kind, content.types))
        self.offsets: list[int] = []
        super().__init__(f"borrowed({content.name})")


def _borrowed_kind(kind: types.Type) -> types.Type:
    return _Borrowed(kind) if isinstance(kind, types.BaseNamedTuple) else kind


@register_model(_Borrowed)
class _BorrowedModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: _Borrowed) -> None:
        super().__init__(manager, kind, cgutils.voidptr_t)


def _item_at(context: Any, builder: Any, kind: _Borrowed, place: Any, position: int) -> Any:
    """A pointer to an item. Offsets in bytes, since llvmlite would write out the type of the whole tuple."""
    item = context.get_data_type(kind.kinds[position]).as_pointer()
    return builder.bitcast(cgutils.pointer_add(builder, place, _offsets(context, kind)[position]), item)


def _offsets(context: Any, kind: _Borrowed) -> list[int]:
    """Where the items begin, bytes, and the size of all; each in whole words."""
    if not kind.offsets:
        sizes = (context.get_abi_sizeof(context.get_data_type(item)) for item in kind.kinds)
        kind.offsets = [0, *accumulate((size + 7) // 8 * 8 for size in sizes)]
    return kind.offsets


def _without_counts(context: Any, builder: Any, kind: types.Type, item: Any) -> Any:
    if not isinstance(kind, types.Array):
        return item
    array = context.make_array(kind)(context, builder, item)
    array.meminfo = cgutils.get_null_value(array.meminfo.type)
    array.parent = cgutils.get_null_value(array.parent.type)
    return array._getvalue()


def _borrow(context: Any, builder: Any, kind: types.Type, value: Any) -> Any:
    if not isinstance(kind, types.BaseNamedTuple):
        return _without_counts(context, builder, kind, value)
    borrowed_kind = _Borrowed(kind)
    words = _offsets(context, borrowed_kind)[-1] // 8
    place = cgutils.alloca_once(builder, ir.IntType(64), max(words, 1))
    place = builder.bitcast(place, cgutils.voidptr_t)
    for position, item in enumerate(cgutils.unpack_tuple(builder, value)):
        kept = _borrow(context, builder, kind.types[position], item)
        at = _item_at(context, builder, borrowed_kind, place, position)
        context.pack_value(builder, borrowed_kind.kinds[position], kept, at)
    return place


def _borrowed(_context: Any, value: Any) -> Any:
    """The same array, or named tuple of arrays, without reference counts.

    Counting costs several times what the rules cost, since every call passes a dozen arrays. Use it at the
    entry of a compiled function on that function's own arguments, whose caller keeps them alive, and never
    return what it gives.

    A tuple is passed on as a pointer: taking it apart for every call and together again would be half of what
    is compiled. It vanishes once everything is inlined.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _borrow(context, builder, value, arguments[0])

    return _borrowed_kind(value)(value), generate


borrowed: Any = intrinsic(_borrowed)


@infer_getattr
class _BorrowedItems(AttributeTemplate):
    key = _Borrowed

    def generic_resolve(self, kind: _Borrowed, name: str) -> types.Type | None:  # type: ignore[override]
        return kind.kinds[kind.names.index(name)] if name in kind.names else None


@lower_getattr_generic(_Borrowed)
def _borrowed_item(context: Any, builder: Any, kind: _Borrowed, place: Any, name: str) -> Any:
    position = kind.names.index(name)
    item = kind.kinds[position]
    value = context.unpack_value(builder, item, _item_at(context, builder, kind, place, position))
    return _without_counts(context, builder, item, value)
