"""Networks that nothing compiled knows play and learn through the environments' steps, to the same effect."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.learning.begin import begin_run
from spane_rllib.learning.rollouts import Episode
from spane_rllib.problems.vm_scheduling.allocations.algorithms import ALGORITHMS as ALLOCATIONS
from spane_rllib.problems.vm_scheduling.allocations.rollouts import AllocationRollouts
from spane_rllib.problems.vm_scheduling.allocations.scenario import load_scenario
from spane_rllib.problems.vm_scheduling.allocations.workload import AllocationWorkload
from spane_rllib.problems.vm_scheduling.networks.compiled import has_kernels
from spane_rllib.problems.vm_scheduling.networks.options import SpaneOptions
from spane_rllib.problems.vm_scheduling.networks.registry import build_network
from spane_rllib.problems.vm_scheduling.networks.spane import SpaneNetwork
from spane_rllib.problems.vm_scheduling.simulator import Cluster, Workload
from spane_rllib.problems.vm_scheduling.slot_rollouts import SlotRollouts
from spane_rllib.problems.vm_scheduling.waits.algorithms import ALGORITHMS as WAITS
from spane_rllib.problems.vm_scheduling.waits.rollouts import WaitRollouts

VALIDATION = np.array([250, 260, 270])
OBJECTIVES = pytest.mark.parametrize("objective", ["waits", "allocations"])


class OwnNetwork(SpaneNetwork):
    """Computes what SPANE does, but it might compute anything."""


def networks(seed: int = 3) -> tuple[Any, Any]:
    """The same weights in a network with kernels and in one without."""
    known, own = build_network("spane", {}, 3, seed), OwnNetwork(SpaneOptions())
    own.load_state_dict(known.state_dict())
    assert has_kernels(known) and not has_kernels(own)
    return known, own


def rollouts_of(objective: str, trace: VmTrace, settings: Any) -> SlotRollouts:
    if objective == "waits":
        cluster = Cluster(3)
        return WaitRollouts(Workload(trace, cluster), cluster, (0, 250), settings, VALIDATION, trim=0.1)
    workload = AllocationWorkload(trace, load_scenario("recovering").with_servers(3))
    return AllocationRollouts(workload, (0, 250), settings, VALIDATION)


def assert_equal(one: Episode, other: Episode) -> None:
    np.testing.assert_array_equal(one.action, other.action)
    np.testing.assert_array_equal(one.reward, other.reward)
    assert (one.terminated, one.measured) == (other.terminated, other.measured)
    assert one.observation.keys() == other.observation.keys()
    for name, values in one.observation.items():
        np.testing.assert_array_equal(values, other.observation[name], name)


@OBJECTIVES
def test_greedy_episodes_are_those_of_the_compiled_call(objective: str, trace: VmTrace) -> None:
    known, own = networks()
    settings = {"waits": WAITS, "allocations": ALLOCATIONS}[objective]["dqn"](lanes=4)
    rollouts, random = rollouts_of(objective, trace, settings), np.random.default_rng(0)
    starts = rollouts.draw_starts(random, 4, group=2)
    assert starts.rows[0] == starts.rows[1] != starts.rows[2]
    expected = rollouts.explore(known, 0.0, starts, random)
    for one, other in zip(rollouts.explore(own, 0.0, starts, random), expected, strict=True):
        assert_equal(one, other)
    assert rollouts.validate(own) == pytest.approx(rollouts.validate(known), rel=1e-12)


@OBJECTIVES
@pytest.mark.parametrize("algorithm", ["dqn", "ppo", "sac"])
def test_they_learn(objective: str, algorithm: str, trace: VmTrace) -> None:
    algorithms = {"waits": WAITS, "allocations": ALLOCATIONS}[objective]
    keys = {"lanes": 2, "gradient_steps": 2, "batch_size": 16}
    keys |= {"episodes_per_start": 2} if algorithm == "ppo" else {"warmup_episodes": 2}
    settings: Any = algorithms[algorithm](**keys)
    own = networks()[1]
    before = torch.nn.utils.parameters_to_vector(own.parameters()).clone()
    rollouts = rollouts_of(objective, trace, settings)
    metrics = begin_run(own, settings, rollouts, every=2, seed=0).run_until(2)
    assert metrics["gradient_steps"] == 2 and metrics[f"validation_{rollouts.measure}"] > 0
    assert (torch.nn.utils.parameters_to_vector(own.parameters()) - before).abs().max() > 0
