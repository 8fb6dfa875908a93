"""The policy `rollout[:KEY=VALUE,...]` as commands name it; free of numba."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from spane_rllib.core.errors import UserError
from spane_rllib.problems.vm_scheduling.heuristic_names import HEURISTICS, LIFETIME_HEURISTICS

NAME = "rollout"
_FUTURES = ("sampled", "true")


@dataclass(frozen=True)
class RolloutOptions:
    """How alternatives to the decision of a heuristic are tried.

    Args:
        base: the heuristic that decides unless something is significantly better, and that goes on after it.
        scenarios: sampled futures per decision.
        vms: arrivals that a future has.
        significance: standard errors by which an alternative must wait less, on the same futures.
        alternatives: slots that are tried at most, the base's included.
        announced: seconds for which arrivals are known in advance.
        future: `sampled`, or `true`: what really comes, until the episode ends. That bounds what knowing
            more can bring; nobody can run it.
    """

    base: str = "keep-64"
    scenarios: int = 16
    vms: int = 100
    significance: float = 2.5
    alternatives: int = 6
    announced: float = 0.0
    future: str = "sampled"

    @property
    def is_true(self) -> bool:
        """Whether the future is known."""
        return self.future == "true"

    @property
    def text(self) -> str:
        """All options, in one spelling."""
        return ",".join(f"{field.name}={getattr(self, field.name)}" for field in fields(self))


_LIMITS: dict[str, tuple[float, float]] = {
    "scenarios": (2, 10_000),
    "vms": (1, 100_000),
    "significance": (0, 100),
    "alternatives": (2, 20_000),
    "announced": (0, 1e9),
}


def is_rollout(text: str) -> bool:
    """Whether `text` names this policy."""
    return text == NAME or text.startswith(f"{NAME}:")


def parse_rollout(text: str) -> RolloutOptions:
    """The options that `rollout` or `rollout:KEY=VALUE,...` gives.

    Raises:
        UserError: an unknown option, or a value that is not allowed.
    """
    given: dict[str, str | int | float] = {}
    known = RolloutOptions.__dataclass_fields__
    for item in text.partition(":")[2].split(",") if ":" in text else ():
        key, equals, value = item.partition("=")
        if not equals or key not in known or key in given:
            raise UserError(
                f"policy {text[:80]!r}: write {NAME}:KEY=VALUE,... with each of these keys at most once: "
                f"{', '.join(known)}"
            )
        given[key] = _value(key, value)
    return RolloutOptions(**given)  # type: ignore[arg-type]  # checked one by one


def _value(key: str, text: str) -> str | int | float:
    if key in ("base", "future"):
        allowed = _FUTURES if key == "future" else (*HEURISTICS, *LIFETIME_HEURISTICS)
        if text not in allowed:
            raise UserError(f"policy {NAME}: {key}={text[:40]!r} is not one of {', '.join(allowed)}")
        return text
    low, high = _LIMITS[key]
    whole = RolloutOptions.__annotations__[key] == "int"
    try:
        value = (int if whole else float)(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        kind = "whole number" if whole else "number"
        raise UserError(f"policy {NAME}: {key}={text[:40]!r} is not a {kind} from {low:g} to {high:g}")
    return value
