"""Plans of a policy of one's own, `module:Class`, which acts on observations of the environment."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from spane_rllib.core.errors import UserError
from spane_rllib.learning.batch import MASK
from spane_rllib.problems.acting import ActingPolicy
from spane_rllib.problems.vm_rescheduling.environment.observing import observation_of
from spane_rllib.problems.vm_rescheduling.planners.planner import Answer, Request
from spane_rllib.problems.vm_rescheduling.simulator.simulation import as_plan


class OwnPlanner:
    """A planner that asks a policy for one action (VM, machine, node) after the other.

    Args:
        name: of the policy, for errors.
        make: makes it.
    """

    def __init__(self, name: str, make: Callable[[], ActingPolicy]) -> None:
        self._name, self._make = name, make

    def __call__(self, request: Request) -> Answer:
        policy, simulation = self._make(), request.simulation()
        moves: list[tuple[int, int, int]] = []
        for step in range(request.migrations):
            can = simulation.movable()
            if not can.any() or request.clock.over() or request.reached(simulation.value):
                break
            left = 1.0 - step / request.migrations
            observation = observation_of(simulation.state, len(can), left) | {MASK: can.astype(np.int8)}
            action = np.asarray(policy.act(observation))
            try:
                vm, machine, node = (int(part) for part in action)
                simulation.migrate(vm, machine, node)
            except (TypeError, ValueError) as error:
                raise UserError(
                    f"policy {self._name}: chose {action.tolist()!r}, no legal (VM, machine, node)"
                ) from error
            moves.append((vm, machine, node))
        return Answer(as_plan(moves))
