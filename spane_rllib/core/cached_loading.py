"""Loading compiled functions from their cache without all that numba needs for compiling."""

from __future__ import annotations

from functools import cache
from typing import Any

from llvmlite.binding import add_symbol
from numba.core.entrypoints import init_all
from numba.core.runtime._nrt_python import c_helpers


def load_cached(function_cache: Any, signature: Any, context: Any) -> Any:
    """The compiled version for a signature in numba's cache of a function; None where there is none.

    Before it looks, numba compiles its small runtime, imports all that it can compile, and scipy's linear
    algebra with it: 40 MB and most of a second. Machine code from the cache has the compiled part of the
    runtime in it and calls the part in C only. What is compiled later still begins with all of that.
    """
    _provide_runtime()
    with function_cache._guard_against_spurious_io_errors():
        return function_cache._load_overload(signature, context)


@cache
def _provide_runtime() -> None:
    """Tell the linker where it finds what machine code calls: numba's runtime and extensions of numba."""
    for name, address in c_helpers.items():
        add_symbol(name if name.startswith("_") else f"NRT_{name}", address)
    init_all()
