"""`VMChoice-v0`: the agent chooses whom to place, too."""

from __future__ import annotations

import pickle
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.simulator.lanes import InfeasibleAction
from spane_rllib.problems.vm_scheduling.waits.choice_env import VMChoiceEnv

ID = "spane_rllib/VMChoice-v0"


def played(env: gymnasium.Env, head_only: bool, start: int, vms: int) -> tuple[float, dict]:
    """Return and last info of First Fit for the head alone, or for the first that fits."""
    observation, info = env.reset(options={"start": start, "vm_count": vms})
    total, ended = 0.0, False
    while not ended:
        assert observation in env.observation_space
        mask = observation["action_mask"]
        whom = 0 if mask[0] else len(mask) - 1
        if not head_only:
            whom = int(mask.argmax())
        slot = observation["slot_mask"][whom].argmax() if whom < len(mask) - 1 else 0
        observation, reward, ended, truncated, info = env.step(np.array([whom, slot]))
        total += reward
        assert not truncated
    return total, info


@pytest.mark.parametrize(("queue", "head_only"), [("fifo", True), ("skip:8", False)])
def test_vm_scheduling_is_a_special_case(trace: VmTrace, queue: str, head_only: bool) -> None:
    env = gymnasium.make(ID, trace=trace, servers=3)
    plain = gymnasium.make("spane_rllib/VMScheduling-v0", trace=trace, servers=3, queue=queue)
    for start in (0, 57):
        total, info = played(env, head_only, start, 250)
        observation, other = plain.reset(options={"start": start, "vm_count": 250})
        expected, ended = 0.0, False
        while not ended:
            observation, reward, ended, _, other = plain.step(observation["action_mask"].argmax())
            expected += reward
        assert total == pytest.approx(expected, rel=1e-12)
        same = ("placed", "total_wait", "max_wait", "start", "vm_count")
        assert {key: info[key] for key in same} == {key: other[key] for key in same}
        assert (info["waiting"], info["vm"]) == (0, -1)
        assert info["total_wait"] > 0


def test_it_is_an_environment(trace: VmTrace) -> None:
    env = gymnasium.make(ID, trace=trace, servers=2, choices=3).unwrapped
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        check_first = env.reset(seed=0)
    again = pickle.loads(pickle.dumps(gymnasium.make(ID, trace=trace, servers=2, choices=3).unwrapped))
    np.testing.assert_equal(again.reset(seed=0), check_first)
    assert check_first[1]["vm"] == check_first[1]["start"]
    assert check_first[0]["action_mask"].tolist() == [1, 0, 0, 1]
    check_env(Feasible(trace=trace, servers=2, choices=3), skip_render_check=True)


def test_flat_actions_are_the_same_choices(trace: VmTrace) -> None:
    env, flat = (
        gymnasium.make(ID, trace=trace, servers=2, choices=3, flat_actions=flat) for flat in (False, True)
    )
    options = {"start": 5, "vm_count": 120}
    (seen, info), (also, also_info) = env.reset(options=options), flat.reset(options=options)
    ended, random = False, np.random.default_rng(0)
    while not ended:
        assert also in flat.observation_space and info == also_info
        mask = np.append(seen["slot_mask"], seen["action_mask"][-1])
        np.testing.assert_array_equal(also["action_mask"], mask)
        np.testing.assert_array_equal(also["waiting"], seen["waiting"])
        action = random.choice(np.flatnonzero(mask))
        seen, reward, ended, _, info = env.step(np.array(divmod(action, 4)))
        also, also_reward, also_ended, _, also_info = flat.step(action)
        assert (reward, ended) == (also_reward, also_ended)
    with pytest.raises(ResetNeeded):
        flat.step(0)
    flat.reset(options=options)
    for action in (-1, 4, 13):
        with pytest.raises(InfeasibleAction, match="whom"):
            flat.step(action)


class Feasible(VMChoiceEnv):
    """Takes a feasible action in the place of any: the checker knows no masks."""

    def step(self, action):
        observation = self._observe()
        whom = int(observation["action_mask"].argmax())
        slot = observation["slot_mask"][whom].argmax() if whom < self.choices else 0
        return super().step(np.array([whom, slot]))


def test_bad_actions_and_keywords(trace: VmTrace) -> None:
    env = gymnasium.make(ID, trace=trace, servers=1, choices=2).unwrapped
    with pytest.raises(ResetNeeded):
        env.step(np.array([0, 0]))
    env.reset(options={"start": 0, "vm_count": 5})
    for action, message in (
        ([1, 0], "whom 1 is not feasible"),
        ([0, 9], "slot 9 has no room"),
        ([3, 0], "whom 3"),
    ):
        with pytest.raises(InfeasibleAction, match=message):
            env.step(np.array(action))
    for keywords, message in (({"choices": 0}, "choices: 0"), ({"queue": "skip"}, "'queue' is not known")):
        with pytest.raises(UserError, match=message):
            gymnasium.make(ID, trace=trace, **keywords)
