"""Policies of one's own, `--policy module:Class`: an observation with its mask in, an action out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from spane_rllib.core.errors import UserError
from spane_rllib.core.plugins import load_plugin, plugin_identity

if TYPE_CHECKING:
    import numpy.typing as npt


class ActingPolicy(Protocol):
    """All that a policy of one's own needs to have; it is made without arguments, anew for every episode.

    It plays wherever heuristics and models do: `evaluate`, `compare`, recordings. One that draws random
    numbers seeds them by itself.
    """

    def act(self, observation: Mapping[str, npt.NDArray[Any]]) -> int:
        """The action for one observation of the problem's environment, whose `action_mask` is among it."""
        ...


@dataclass(frozen=True)
class Acting:
    """How to make an `ActingPolicy`, and what decides its actions."""

    make: Callable[[], ActingPolicy]
    identity: str


def load_acting_policy(text: str) -> Acting:
    """The policy of one's own that `module:Class` means; a `UserError` when it is none."""
    make = load_plugin(text)
    if not callable(make) or not callable(getattr(make, "act", None)):
        raise UserError(f"policy {text}: needs to be a class with a method act(observation)")
    return Acting(make, plugin_identity(text))


def checked_action(action: Any, mask: npt.NDArray[Any], policy: str) -> int:
    """`action` as a number; a `UserError` where `policy` may not choose it."""
    import numpy as np

    if not (isinstance(action, int | np.integer) and 0 <= action < len(mask) and mask[action]):
        raise UserError(f"policy {policy}: chose {action!r}, which is not a feasible action")
    return int(action)
