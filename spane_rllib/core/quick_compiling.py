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

from numba.core import types
from numba.core.compiler import Compiler, DefaultPassBuilder
from numba.core.compiler_machinery import PassManager
from numba.core.registry import cpu_target
from numba.core.typed_passes import AnnotateTypes
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

_CONTEXTS: tuple[Any, Any] = (cpu_target.typing_context, cpu_target.target_context)
_Arguments = tuple[types.Type, ...]
_signatures: dict[tuple[Any, types.Type, _Arguments], Any] = {}
_Function: Any = types.Function
_resolve = _Function.get_call_type
_active = False


@contextmanager
def compiling_quickly() -> Iterator[None]:
    """Inside the block numba compiles the same code in less time; for who holds its lock."""
    global _active
    if _active:
        yield
        return
    collecting = gc.isenabled()
    _CONTEXTS[1].refresh()
    _active = True
    gc.disable()  # there is little garbage
    for context in _CONTEXTS:
        context.load_additional_registries = partial(_load_known_registries, context)
    _Function.get_call_type = _resolve_once
    try:
        yield
    finally:
        del _Function.get_call_type
        for context in _CONTEXTS:
            del context.load_additional_registries
        if collecting:
            gc.enable()
        _active = False


def _load_known_registries(context: Any) -> None:
    """Without the imports of forty modules, which have been done."""
    for registry in tuple(context._registries):
        context.install_registry(registry)


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
