"""What numba does anew for every function, done once for all that are compiled together.

Types and code come out the same: only what fails, finds nothing or is known already is left out.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import CodeType
from typing import Any

from llvmlite.binding import ffi
from numba.core import errors, types
from numba.core.compiler import Compiler, DefaultPassBuilder
from numba.core.compiler_machinery import PassManager
from numba.core.registry import cpu_target
from numba.core.typed_passes import AnnotateTypes
from numba.core.typing.templates import _OverloadFunctionTemplate
from numba.core.untyped_passes import (
    FindLiterallyCalls,
    InlineClosureLikes,
    InlineInlinables,
    LiteralPropagationSubPipelinePass,
    LiteralUnroll,
    MakeFunctionToJitFunction,
    WithLifting,
)

# Passes over what compiled functions here do not have, and notes for whoever asks numba about its types.
_NEEDLESS = {
    AnnotateTypes,
    FindLiterallyCalls,
    InlineInlinables,
    LiteralPropagationSubPipelinePass,
    LiteralUnroll,
    WithLifting,
}
_OF_CLOSURES = {InlineClosureLikes, MakeFunctionToJitFunction}

_COLORS: Any = errors.termcolor()
_LOCK: Any = ffi.lib._lock
_CONTEXTS: tuple[Any, Any] = (cpu_target.typing_context, cpu_target.target_context)
WITHOUT_WRAPPERS: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""Options of numba for what only compiled code calls."""
_Arguments = tuple[types.Type, ...]
_signatures: dict[tuple[Any, types.Type, _Arguments], Any] = {}
_Function: Any = types.Function
_resolve = _Function.get_call_type
_Overload: Any = _OverloadFunctionTemplate
_decorator_of = _Overload._get_jit_decorator
_active = False


@contextmanager
def compiling_quickly() -> Iterator[None]:
    """Inside the block numba compiles the same code in less time; for who holds its lock."""
    global _active
    if _active:
        yield
        return
    collecting, told = gc.isenabled(), tuple(_LOCK._cblist)
    _CONTEXTS[1].refresh()
    _active = True
    gc.disable()  # there is little garbage
    known = [_registrations()]
    for context in _CONTEXTS:
        context.refresh = partial(_refresh_if_more, known)
    _Function.get_call_type = _resolve_once
    _Overload._get_jit_decorator = _without_wrappers
    _COLORS._markup = lambda message, *_color: message
    _LOCK._cblist.clear()  # tens of thousands of times, for a sum that nobody reads
    try:
        yield
    finally:
        _LOCK._cblist[:] = told
        del _COLORS._markup
        _Overload._get_jit_decorator = _decorator_of
        del _Function.get_call_type
        for context in _CONTEXTS:
            del context.refresh
        if collecting:
            _to_the_oldest_generation()
            gc.enable()
        _active = False


def _to_the_oldest_generation() -> None:
    """Leave what there is to the next collection of everything, instead of looking at it all at once now."""
    if not gc.get_freeze_count():
        gc.freeze()
        gc.unfreeze()


def _registrations() -> int:
    """How much numba and its extensions have registered."""
    return sum(
        len(getattr(registry, name))
        for context in _CONTEXTS
        for registry, loader in context._registries.items()
        for name in loader.registry_items
    )


def _refresh_if_more(known: list[int]) -> None:
    """Look for what is registered only if there is more than `known`: numba asks for each overload."""
    now = _registrations()
    if now != known[0]:
        known[0] = now
        for context in _CONTEXTS:
            type(context).refresh(context)


def _without_wrappers(template: Any) -> Any:
    """What compiles numba's own functions, which only compiled code calls."""
    decorator = _decorator_of(template)
    return lambda **options: decorator(**WITHOUT_WRAPPERS | options)


def _resolve_once(function: Any, context: Any, arguments: _Arguments, keywords: Any) -> Any:
    """Look once for the meaning of an operator for each kind of operands.

    Numba tries some dozens, most of which fail with a long message that nobody reads.
    """
    if keywords:
        return _resolve(function, context, arguments, keywords)
    key = context, function, tuple(arguments)
    found = _signatures.get(key)
    if found is None:
        found = _resolve(function, context, arguments, keywords)
        # Not what is compiled itself, which depends on the options of its caller.
        if found is not None and function.get_impl_key(found) is function.typing_key:
            _signatures[key] = found
    return found


class QuickCompiler(Compiler):
    """Numba's compiler without passes that find nothing to do."""

    def define_pipelines(self) -> list[PassManager]:
        pipeline = DefaultPassBuilder.define_nopython_pipeline(self.state)
        code = self.state.func_id.code
        closures = any(isinstance(constant, CodeType) for constant in code.co_consts)
        needless = _NEEDLESS if closures else _NEEDLESS | _OF_CLOSURES
        pipeline.passes = [(each, why) for each, why in pipeline.passes if each not in needless]
        pipeline.finalize()
        return [pipeline]
