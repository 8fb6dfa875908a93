"""The environments of the allocations objective."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from allocation_cases import scenario_of, trace_of_vms
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import SyncVectorEnv

import spane_rllib  # noqa: F401  # registers the environments
from spane_rllib.core.errors import UserError
from spane_rllib.core.presets import presets_in
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.allocations.env import AllocationEnv, create_env
from spane_rllib.problems.vm_scheduling.allocations.scenario import PRESETS
from spane_rllib.problems.vm_scheduling.allocations.vector_env import AllocationVectorEnv
from spane_rllib.problems.vm_scheduling.environments import ALLOCATIONS
from spane_rllib.problems.vm_scheduling.simulator.lanes import InfeasibleAction

GROWING = {"servers": 1, "used_threshold": 0.75, "max_servers": 4}
CASES: dict[str, dict[str, Any]] = {
    "capped": {"max_decisions": 40},
    "deletions": {"deletions": True},
    "growing": {"growth": GROWING},
}

ALLOCATION = "spane_rllib/Allocation-v0"
SCENARIOS = {name: spec.keywords["scenario"] for name, spec in ALLOCATIONS.items() if spec.keywords}


def large(**keys: Any) -> Any:
    """Two servers that hold every VM of the fixture `trace`."""
    groups = [{"count": 2, "node_cpu": 40, "node_memory": 90}]
    return scenario_of(server_groups=groups, double={"memory_above": 10}, **keys)


def test_an_episode_by_hand() -> None:
    trace = trace_of_vms((2, 2, 0, 5), (4, 6, 3600, 5), (2, 2, 3600, 5), (1, 1, 3601, 5))
    splits = {"train": (0, 1), "validation": (1, 2), "test": (2, 3)}
    for reward, rewards in (("allocation", [1, 1, 1]), ("cpu_share", [0.25, 0.5, 0.25])):
        env = AllocationEnv(scenario_of(), trace=trace, splits=splits, reward=reward)
        observation, info = env.reset(seed=0)
        assert observation["request"].tolist() == [0.5, 0.25, 0]
        assert (info["vm"], info["servers"], info["max_decisions"]) == (0, 1, 4)
        collected = []
        for action in (0, 1, 1):
            observation, value, terminated, truncated, info = env.step(action)
            collected.append(value)
        assert collected == rewards
        assert (terminated, truncated) == (True, False)
        assert not observation["action_mask"].any()
        assert info == {
            "time": 3601.0,
            "vm": 3,
            "allocations": 3,
            "servers": 1,
            "expansions": 0,
            "server_hours": 3601 / 3600,
            "cpu_rate": 1.0,
            "memory_rate": 10 / 16,
            "start": 0,
            "max_decisions": 4,
        }


def test_truncation_and_options(trace: VmTrace) -> None:
    env = AllocationEnv(large(deletions=True, max_decisions=2), trace=trace)
    options: dict[str, Any]
    for options, length in (({}, 2), ({"max_decisions": 3, "start": 7}, 3)):
        observation, info = env.reset(seed=3, options=options)
        ended = [False, False]
        while not any(ended):
            observation, _, *ended, info = env.step(observation["action_mask"].argmax())
        assert ended == [False, True] and info["allocations"] == length
    with pytest.raises(UserError, match="'vm_count' is not known; allowed are start and max_decisions"):
        env.reset(options={"vm_count": 3})


def test_infeasible_actions(trace: VmTrace) -> None:
    env = AllocationEnv(large(), trace=trace, infeasible_action="terminate")
    env.reset(seed=0)
    assert env.step(4)[1:4] == (0.0, True, False)
    env = AllocationEnv(large(), trace=trace)
    env.reset(seed=0)
    with pytest.raises(InfeasibleAction, match="action 4 is not a slot"):
        env.step(4)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_lanes_equal_single_environments(trace: VmTrace, case: str, mode: str) -> None:
    keywords = {"scenario": large(**CASES[case]), "trace": trace, "reward": "cpu_share"}
    together = AllocationVectorEnv(4, autoreset_mode=mode, **keywords)
    apart = SyncVectorEnv([partial(AllocationEnv, **keywords)] * 4, autoreset_mode=mode)
    assert together.observation_space == apart.observation_space
    rng = np.random.default_rng(0)
    left, right = together.reset(seed=1), apart.reset(seed=1)
    np.testing.assert_equal(left, right)
    ends = 0
    for _ in range(300):
        mask = left[0]["action_mask"]
        actions = np.where(mask.any(axis=1), np.where(mask, rng.random(mask.shape), -1).argmax(axis=1), 0)
        left, right = together.step(actions), apart.step(actions)
        for infos in (left[4], right[4]):
            if "final_obs" in infos:  # an array of dictionaries, which NumPy cannot compare
                infos["final_obs"] = infos["final_obs"].tolist()
        np.testing.assert_equal(left, right)
        ends += int((left[2] | left[3]).sum())
    assert ends > 4


@pytest.mark.parametrize("name", ALLOCATIONS)
def test_gymnasium_makes_and_checks_it(name: str) -> None:
    keywords: dict[str, Any] = {"trace": "synthetic:vms=2000", "infeasible_action": "terminate"}
    servers = 200 if "Expanding" in name else 3
    if servers == 3:
        keywords["servers"] = 3
    env = gymnasium.make(name, **keywords)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)
    envs = gymnasium.make_vec(name, num_envs=2, vectorization_mode="vector_entry_point", **keywords)
    observation, _ = envs.reset(seed=0)
    assert envs.observation_space.contains(observation)
    assert observation["action_mask"].shape == (2, 2 * servers)


def test_every_preset_has_an_environment() -> None:
    shipped = [spec.keywords["scenario"] for spec in ALLOCATIONS.values() if spec.keywords]
    assert sorted(shipped) == sorted(presets_in(PRESETS))


def test_from_a_file_and_a_dictionary(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    groups = "{count: 2, node_cpu: 40, node_memory: 90}, {count: 1, node_cpu: 64, node_memory: 256}"
    file.write_text(f"server_groups: [{groups}]\ndouble: {{cpu_at_least: 16}}\ndeletions: true\n")
    env = create_env({"scenario": str(file), "trace": "synthetic:vms=500"})
    observation, _ = env.reset(seed=0)
    small, large = [40 / 64, 90 / 256], [1, 1]
    np.testing.assert_allclose(observation["servers"][:, 0], [small, small, large])
    assert env.instance.settings.name == "own"
    np.testing.assert_array_equal(env.instance.node_sizes()[:, 1], [[40, 90], [40, 90], [64, 256]])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"scenario": "fadin"}, "'fadin': no such file, and no such preset; did you mean fading?"),
        ({"scenario": 3}, "scenario: 3 is not allowed"),
        ({"servers": 0}, "servers: 0 is not allowed"),
        ({"servers": 300, "scenario": "expanding"}, "max_servers: 200 is less than the 300"),
        ({"reward": "log_wait"}, "reward: 'log_wait' is not one of allocation, cpu_share"),
        ({"infeasible_action": "ignore"}, "infeasible_action: 'ignore' is not one of"),
        ({"node_cpu": 40}, "env_config: 'node_cpu' is not known; allowed are scenario"),
        ({"render_mode": "human"}, "render_mode"),
    ],
)
def test_bad_keywords(config: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        create_env({"trace": "synthetic:vms=500"} | config)
