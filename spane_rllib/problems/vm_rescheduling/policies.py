"""Who makes plans: planners by name, trained networks, and policies of one's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from spane_rllib.problems.vm_rescheduling.mappings.synthetic import generate
from spane_rllib.problems.vm_rescheduling.planners.names import planner
from spane_rllib.problems.vm_rescheduling.planners.planner import Answer, Planner, Request


@dataclass(frozen=True)
class ReschedulePolicy:
    """Makes plans.

    Args:
        name: what tables call it.
        identity: what decides its plans.
        make: makes it, in whatever process it is to plan.
    """

    name: str
    identity: str
    make: Callable[[], Planner]

    def plan(self, request: Request) -> Answer:
        """Answer a request."""
        return self.make()(request)


@cache
def warm_up(name: str, objective: str = "fr16") -> None:
    """Let a planner compile and import whatever it needs, on a tiny mapping, so that no plan pays for it."""
    planner(name)(Request(generate("high", 0, 12), 3, 20.0, objective))
