"""Plans of a trained network: the likeliest migrations, then as many sampled plans as there is time for.

Risk-seeking evaluation (VMR2L): the network's plans differ from draw to draw, and simulating them is exact
and cheap, so that the best of K is deployed. K is however many fit into the time. Unlikely VMs and nodes are
not drawn, by quantiles of their probabilities.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from spane_rllib.learning.batch import MASK
from spane_rllib.learning.tensors import device_of, to_tensors
from spane_rllib.problems.vm_rescheduling.environment.observing import observation_of
from spane_rllib.problems.vm_rescheduling.planners.planner import Answer, Request, better, shortened
from spane_rllib.problems.vm_rescheduling.simulator.simulation import Plan, as_plan

QUANTILES = 0.995, 0.98
"""Of the probabilities of VMs and of nodes below which none is drawn, as published."""
_MOST_PLANS = 100
_AT_LEAST = 0.9  # of the time of the last plan must be left for another one


class LearnedPlanner:
    """A planner that asks a network.

    Args:
        network: a `TwoStagePolicy`, or another with its `greedy` and `sample`.
        most: plans at most, K.
    """

    def __init__(self, network: Any, most: int = _MOST_PLANS) -> None:
        self._network, self._most = network, most

    def __call__(self, request: Request) -> Answer:
        device = device_of(self._network)
        random = torch.Generator(device).manual_seed(request.seed)
        best = self._play(request, None)
        for _ in range(self._most - 1):
            begun = request.clock.passed
            if math.isinf(request.seconds) or request.clock.left() == 0:
                break
            best = better(request, best, self._play(request, random))
            if request.clock.left() < _AT_LEAST * (request.clock.passed - begun):
                break
        return Answer(best)

    def _play(self, request: Request, random: torch.Generator | None) -> Plan:
        """One plan: of the likeliest migrations without `random`, else drawn."""
        simulation = request.simulation()
        state, device = simulation.state, device_of(self._network)
        moves: list[tuple[int, int, int]] = []
        for step in range(request.migrations):
            can = simulation.movable()
            if not can.any() or request.clock.over() or request.reached(simulation.value):
                break
            left = 1.0 - step / request.migrations
            observation = observation_of(state, len(state.vms), left) | {MASK: can.astype(np.int8)}
            tensors = {name: value[None] for name, value in to_tensors(observation, device).items()}
            with torch.inference_mode():
                if random is None:
                    action = self._network.greedy(tensors)
                else:
                    action, _ = self._network.sample(tensors, random, QUANTILES)
            vm, machine, node = action[0].tolist()
            if machine == state.machine[vm] and (node == state.node[vm] or state.vms[vm, 2] != 0):
                continue  # stays where it is
            simulation.migrate(vm, machine, node)
            moves.append((vm, machine, node))
        return shortened(request, as_plan(moves))
