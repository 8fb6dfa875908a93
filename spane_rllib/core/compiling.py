"""Compiled functions and their cache: a second process starts without compiling."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numba
from llvmlite.binding import parse_assembly
from numba.core import types
from numba.core.codegen import JITCodeLibrary
from numba.core.registry import cpu_target

from spane_rllib.core.cached_loading import load_cached
from spane_rllib.core.errors import UserError
from spane_rllib.core.quick_compiling import WITHOUT_WRAPPERS, QuickCompiler, compiling_quickly
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
    without: dict[str, Any] = {"no_cfunc_wrapper": True, "pipeline_class": QuickCompiler}
    dispatcher = _njit(cache=True, nogil=True, error_model="numpy", **without)(function)
    _compile_quickly(dispatcher)
    dispatcher._cache.load_overload = partial(load_cached, dispatcher._cache)
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


def is_compiled(function: Callable[..., Any]) -> bool:
    """Whether the cache has a `compiled` function for this processor, for whatever types of arguments."""
    dispatcher: Any = function
    processor = dispatcher.targetctx.codegen().magic_tuple()
    return any(key[1] == processor for key in dispatcher._cache._cache_file._load_index())


def _compile_quickly(dispatcher: Any) -> None:
    compile_anew = dispatcher._compiler.compile

    def compile_now(*arguments: Any) -> Any:
        with compiling_quickly():
            return compile_anew(*arguments)

    dispatcher._compiler.compile = compile_now


def _check_compiler() -> None:
    """Raise a `UserError` where numba is told not to compile: some parts exist only compiled."""
    if numba.config.DISABLE_JIT:
        raise UserError("NUMBA_DISABLE_JIT is set, but nothing here runs uncompiled; unset it")


def inlined(function: Function) -> Function:
    """A building block of `compiled` functions, inlined into each of them; Python cannot call it."""
    return _building_block(function, forceinline=True)


def included(function: Function) -> Function:
    """A large building block of `compiled` functions, of which each has a copy; Python cannot call it."""
    return _building_block(function, forceinline=False)


def _building_block(function: Function, forceinline: bool) -> Function:
    # What Python would need takes about a fifth of the compilation of small functions with many arguments.
    _check_compiler()
    options = WITHOUT_WRAPPERS | {"forceinline": forceinline, "pipeline_class": _Inlined}
    dispatcher = _njit(nogil=True, error_model="numpy", **options)(function)

    def refuse(*_arguments: Any, **_keywords: Any) -> None:
        raise TypeError(f"{function.__qualname__} is part of others: call it from a compiled function")

    # Without these two, a call from Python would jump to the wrapper that is not there.
    dispatcher._insert = lambda *_version: None
    dispatcher._compile_for_args = refuse
    fold = dispatcher._compiler.fold_argument_types

    def fold_without_values(*given: Any) -> Any:
        # Numba would compile a version for each constant; LLVM sees it anyway, once the function is inlined.
        signature, kinds = fold(*given)
        return signature, tuple(map(_widened, map(types.unliteral, kinds)))

    dispatcher._compiler.fold_argument_types = fold_without_values
    return dispatcher


def _widened(kind: types.Type) -> types.Type:
    """One version serves whole numbers of all sizes, which numba computes with as int64 in any case."""
    return types.int64 if isinstance(kind, types.Integer) and kind.signed else kind


class _Inlined(QuickCompiler):
    """Numba's compiler up to the intermediate code, which is optimized where it is inlined."""

    def __init__(self, typing: Any, target: Any, _library: Any, *others: Any) -> None:
        super().__init__(typing, target, _Intermediate(target.codegen(), "inlined"), *others)


class _Intermediate(JITCodeLibrary):
    """Code of a function and what it calls, to be linked into others.

    Numba would optimize every callee with all its own callees, and make machine code of them that nobody
    runs: together almost half of a compilation.
    """

    def finalize(self) -> None:
        for library in dict.fromkeys(self._linking_libraries):
            self._reload_init |= library._reload_init
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, _name: str) -> int:
        self._ensure_finalized()
        return 0

    @property
    def codegen(self) -> Any:
        return self

    def set_env(self, name: str, environment: Any) -> None:
        """Define what the code finds its constants by, as it does when it raises an error with a value."""
        module = self._codegen._create_empty_module(name)
        cpu_target.target_context.declare_env_global(module, name)
        self._codegen._add_module(parse_assembly(str(module)))
        self._codegen._engine.finalize_object()
        self._codegen.set_env(name, environment)
