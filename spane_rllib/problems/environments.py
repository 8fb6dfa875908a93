"""Gymnasium environments as import paths: nothing loads before one is made."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from inspect import signature
from types import ModuleType
from typing import Any, TypeVar, cast

from spane_rllib.core.errors import UserError
from spane_rllib.core.words import near_miss

Made = TypeVar("Made")


@dataclass(frozen=True)
class EnvironmentSpec:
    """A Gymnasium environment.

    Args:
        entry_point: "package.module:Class".
        vector_entry_point: of the vectorised one, where there is one.
        keywords: what the class is called with in any case.
    """

    entry_point: str
    vector_entry_point: str | None = None
    keywords: Mapping[str, Any] = field(default_factory=dict)

    def make(self, keywords: Mapping[str, Any]) -> Any:
        """The environment; raises as `from_keywords`."""
        module, _, name = self.entry_point.partition(":")
        return from_keywords(getattr(import_module(module), name), {**self.keywords, **keywords})


def register_environments(environments: Mapping[str, EnvironmentSpec]) -> None:
    """Make environments known to `gymnasium.make` and `make_vec`, by id; calling it again is harmless.

    Where nothing has imported Gymnasium yet that happens when somebody does: commands that only print a help
    text would spend half of their time on it.
    """
    if "gymnasium" in sys.modules:
        _register(environments)
        return
    _waiting.update(environments)
    if _ON_IMPORT not in sys.meta_path:
        sys.meta_path.insert(0, _ON_IMPORT)


def _register(environments: Mapping[str, EnvironmentSpec]) -> None:
    import gymnasium

    for name, spec in environments.items():
        if name not in gymnasium.registry:
            gymnasium.register(
                id=name,
                entry_point=spec.entry_point,
                vector_entry_point=spec.vector_entry_point,
                kwargs=dict(spec.keywords),
                # Simulators check every action themselves; the passive checker would cost 30 to 40 us a step.
                disable_env_checker=True,
                order_enforce=False,
            )


_waiting: dict[str, EnvironmentSpec] = {}


class _OnImport(MetaPathFinder):
    """Registers what is waiting once Gymnasium is imported, and is gone then."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name != "gymnasium":
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_register(module: ModuleType) -> None:
                load(module)
                _register(_waiting)

            spec.loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec


_ON_IMPORT = _OnImport()


def from_keywords(make: Callable[..., Made], keywords: Mapping[str, Any]) -> Made:
    """`make(**keywords)`.

    Raises:
        UserError: an unknown key, or a value that is not allowed.
    """
    check_keywords(keywords, signature(make).parameters, "env_config: ")
    return make(**keywords)


def check_keywords(keywords: Iterable[str], allowed: Iterable[str], where: str = "") -> None:
    """Raise a `UserError` that names the nearest allowed keyword for one that is not allowed."""
    allowed = list(allowed)
    for key in keywords:
        if key not in allowed:
            hint = near_miss(key, allowed)
            raise UserError(f"{where}{key!r} is not known; allowed are {', '.join(allowed)}{hint}")


def known_keywords(init: Made) -> Made:
    """A decorator of `__init__`: an unknown keyword is answered as `check_keywords` does."""
    function: Any = init
    allowed = list(signature(function).parameters)[1:]

    @wraps(function)
    def checked(self: Any, *arguments: Any, **keywords: Any) -> None:
        check_keywords(keywords, allowed)
        function(self, *arguments, **keywords)

    return cast(Made, checked)
