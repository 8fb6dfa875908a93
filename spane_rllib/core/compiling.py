"""Compiled functions and their cache: a second process starts without compiling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy.typing as npt
from numba.core import cgutils, types
from numba.extending import intrinsic

from spane_rllib.core.errors import UserError
from spane_rllib.core.sources import function_digest

Function = TypeVar("Function", bound=Callable[..., Any])

_njit: Any = numba.njit  # its types leave out the options about wrappers


def compiled(function: Function) -> Function:
    """Compile with numba in no-Python mode, without the GIL, and keep the machine code on disk.

    Numba discards a cached function only when the function's own file changes. Ours call each other across
    files and take constants from others, so the cache is tied to the sources of all modules that the
    function's module imports (`core.sources`), in plug-ins too. They are read here and not at the first call,
    since a file could change between.
    """
    _check_compiler()
    dispatcher = _njit(cache=True, nogil=True, error_model="numpy", no_cfunc_wrapper=True)(function)
    file = dispatcher._cache._cache_file
    file._source_stamp = function_digest(function) or file._source_stamp
    load_index = file._load_index

    def load_readable_index() -> Any:
        # What an earlier version has left may name modules that are gone, and fails before its stamp is seen.
        try:
            return load_index()
        except (ImportError, AttributeError):
            return {}

    file._load_index = load_readable_index
    return dispatcher


def _check_compiler() -> None:
    """Raise a `UserError` where numba is told not to compile: some parts exist only compiled."""
    if numba.config.DISABLE_JIT:
        raise UserError("NUMBA_DISABLE_JIT is set, but nothing here runs uncompiled; unset it")


def inlined(function: Function) -> Function:
    """A building block of `compiled` functions, inlined into each of them; Python cannot call it.

    What Python would need takes about a fifth of the compilation of small functions with many arguments.
    """
    without = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    dispatcher = _njit(nogil=True, error_model="numpy", forceinline=True, **without)(function)

    def refuse(*_arguments: Any, **_keywords: Any) -> None:
        raise TypeError(f"{function.__qualname__} is inlined: call it from a compiled function")

    # Without these two, a call from Python would jump to the wrapper that is not there.
    dispatcher._insert = lambda *_version: None
    dispatcher._compile_for_args = refuse
    return dispatcher


@inlined
def copy_into(target: npt.NDArray[Any], source: npt.NDArray[Any]) -> None:
    """`target[...] = source` for contiguous arrays of one shape.

    Numba compiles the message of a wrong shape anew for every such assignment, which takes seconds.
    """
    values, copied = target.ravel(), source.ravel()
    for index in range(copied.size):
        values[index] = copied[index]


def _borrowed(_context: Any, value: Any) -> Any:
    """The same array, or named tuple of arrays, without reference counts.

    Counting costs several times what the rules cost, since every call passes a dozen arrays. Use it at the
    entry of a compiled function on that function's own arguments, whose caller keeps them alive, and never
    return what it gives.
    """

    def borrow(context: Any, builder: Any, kind: Any, item: Any) -> Any:
        if isinstance(kind, types.Array):
            array = context.make_array(kind)(context, builder, item)
            array.meminfo = cgutils.get_null_value(array.meminfo.type)
            array.parent = cgutils.get_null_value(array.parent.type)
            return array._getvalue()
        if isinstance(kind, types.BaseTuple):
            items = cgutils.unpack_tuple(builder, item)
            return context.make_tuple(
                builder,
                kind,
                [borrow(context, builder, *pair) for pair in zip(kind.types, items, strict=True)],
            )
        return item

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return borrow(context, builder, value, arguments[0])

    return value(value), generate


borrowed: Any = intrinsic(_borrowed)
