"""Gymnasium environments as import paths: nothing loads before one is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from inspect import signature
from typing import Any, TypeVar

from spane_rllib.core.errors import UserError

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
    """Make environments known to `gymnasium.make` and `make_vec`, by id; calling it again is harmless."""
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


def from_keywords(make: Callable[..., Made], keywords: Mapping[str, Any]) -> Made:
    """`make(**keywords)`.

    Raises:
        UserError: an unknown key, or a value that is not allowed.
    """
    allowed = list(signature(make).parameters)
    unknown = [key for key in keywords if key not in allowed]
    if unknown:
        raise UserError(f"env_config: {unknown[0]!r} is not known; allowed are {', '.join(allowed)}")
    return make(**keywords)
