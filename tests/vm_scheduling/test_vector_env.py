import copy
import pickle
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.simulator.lanes import InfeasibleAction
from spane_rllib.problems.vm_scheduling.waits.env import VMSchedulingEnv
from spane_rllib.problems.vm_scheduling.waits.vector_env import VMSchedulingVectorEnv

ID = "spane_rllib/VMScheduling-v0"


@pytest.fixture(scope="module")
def traces(trace: VmTrace) -> tuple[VmTrace, VmTrace]:
    """`trace` and the same with some VMs that never end, so that episodes are truncated too."""
    lifetime = trace.lifetime.copy()
    lifetime[::6] = np.inf
    return trace, VmTrace(trace.cpu, trace.memory, trace.arrival, lifetime, "endless")


def choose(observation: dict[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """A random feasible action per lane; -1 where there is none."""
    scores = np.where(observation["action_mask"], rng.random(observation["action_mask"].shape), -1)
    return np.where(observation["action_mask"].any(axis=1), scores.argmax(axis=1), -1)


def assert_equivalent(expected: Any, actual: Any) -> None:
    """Equal values, types and shapes."""
    assert type(expected) is type(actual)
    if isinstance(expected, dict):
        assert expected.keys() == actual.keys()
        for key in expected:
            assert_equivalent(expected[key], actual[key])
    elif isinstance(expected, np.ndarray):
        assert expected.dtype == actual.dtype and expected.shape == actual.shape
        if expected.dtype == object:
            for left, right in zip(expected, actual, strict=True):
                assert_equivalent(left, right)
        else:
            np.testing.assert_array_equal(actual, expected)
    else:
        assert actual is expected is None  # no final observation


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**31),
    lanes=st.integers(1, 5),
    mode=st.sampled_from(["NextStep", "SameStep"]),
    reward=st.sampled_from(["log_wait", "balance", "wait"]),
    faulty=st.booleans(),
    never_ending=st.booleans(),
)
def test_it_equals_single_environments_side_by_side(
    traces: tuple[VmTrace, VmTrace],
    seed: int,
    lanes: int,
    mode: str,
    reward: str,
    faulty: bool,
    never_ending: bool,
) -> None:
    keywords = {
        "trace": traces[never_ending],
        "servers": 2,
        "reward": reward,
        "extra_vms": 10,
        "infeasible_action": "terminate" if faulty else "error",
    }
    together = VMSchedulingVectorEnv(lanes, autoreset_mode=mode, **keywords)
    apart = SyncVectorEnv([partial(VMSchedulingEnv, **keywords)] * lanes, autoreset_mode=mode)
    assert together.observation_space == apart.observation_space
    assert together.action_space == apart.action_space
    observation, infos = together.reset(seed=seed)
    rng = np.random.default_rng(seed)
    expected_observation, expected_infos = apart.reset(seed=seed)
    assert_equivalent(expected_observation, observation)
    assert_equivalent(expected_infos, infos)
    ends = 0
    for _ in range(150):
        actions = choose(observation, rng)
        if faulty and rng.random() < 0.1:
            actions[rng.integers(lanes)] = rng.integers(-1, 5)
        expected = apart.step(actions)
        actual = together.step(actions)
        for left, right in zip(expected, actual, strict=True):
            assert_equivalent(left, right)
        observation = actual[0]
        ends += int((actual[2] | actual[3]).sum())
    assert ends  # so autoreset was exercised


def test_a_lanes_episodes_do_not_depend_on_the_number_of_lanes(trace: VmTrace) -> None:
    courses = []
    for lanes in (2, 7):
        env = VMSchedulingVectorEnv(lanes, trace=trace, servers=2)
        observation, infos = env.reset(seed=4)
        course = [infos["start"][:2]]
        for _ in range(200):
            observation, *_, infos = env.step(observation["action_mask"].argmax(axis=1))
            course += [observation["servers"][:2], infos["start"][:2], infos["total_wait"][:2]]
        courses.append(course)
    np.testing.assert_equal(courses[0], courses[1])


def test_gymnasium_makes_it(trace: VmTrace) -> None:
    env = gymnasium.make_vec(ID, num_envs=3, vectorization_mode="vector_entry_point", trace=trace, servers=4)
    assert isinstance(env, VMSchedulingVectorEnv)
    assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    assert env.single_action_space.n == 8 and env.action_space.shape == (3,)
    wrapped = gymnasium.wrappers.vector.RecordEpisodeStatistics(env)
    observation, _ = wrapped.reset(seed=0)
    recorded: list[float] = []
    while not recorded:
        observation, *_, infos = wrapped.step(observation["action_mask"].argmax(axis=1))
        recorded = infos["episode"]["l"][infos["_episode"]].tolist() if "episode" in infos else []
    assert recorded == infos["vm_count"][infos["_episode"]].tolist()


def test_options_for_all_lanes_or_for_each(trace: VmTrace) -> None:
    env = VMSchedulingVectorEnv(3, trace=trace)
    _, infos = env.reset(options={"start": [5, 6, 350], "vm_count": 60})
    assert infos["start"].tolist() == [5, 6, 350]
    assert infos["vm_count"].tolist() == [60, 60, 49]  # cut at the last row
    for options in ({"start": [1, 2]}, {"vm_count": [1, 2, 0]}, {"starts": 1}):
        with pytest.raises(UserError, match="options: "):
            env.reset(options=options)
    assert env.step(np.zeros(3, int))[4]["placed"].tolist() == [1, 1, 1]  # a refused reset changes nothing


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_after_a_reset_no_lane_waits_for_its_next_episode(trace: VmTrace, mode: str) -> None:
    env = VMSchedulingVectorEnv(2, trace=trace, autoreset_mode=mode)
    env.reset(options={"start": 0, "vm_count": 1})
    assert env.step(np.zeros(2, int))[2].all()
    env.reset(options={"start": 5, "vm_count": 3})
    *_, infos = env.step(np.zeros(2, int))
    assert infos["start"].tolist() == [5, 5] and infos["placed"].tolist() == [1, 1]


def test_seeds_for_each_lane(trace: VmTrace) -> None:
    env = VMSchedulingVectorEnv(2, trace=trace)
    _, by_number = env.reset(seed=8)
    _, by_list = env.reset(seed=[8, 9])
    assert by_number["start"].tolist() == by_list["start"].tolist()
    _, kept = env.reset(seed=[8, None])
    assert kept["start"][0] == by_number["start"][0] and kept["start"][1] != by_number["start"][1]
    with pytest.raises(UserError, match="seed: got 3"):
        env.reset(seed=[1, 2, 3])


@pytest.mark.parametrize("copied", [True, False])
def test_observations_are_copies_unless_asked_otherwise(trace: VmTrace, copied: bool) -> None:
    env = VMSchedulingVectorEnv(4, trace=trace, copy=copied)
    first, _ = env.reset(seed=1)
    kept = copy.deepcopy(first)
    second, *_ = env.step(first["action_mask"].argmax(axis=1))
    for key, array in first.items():
        assert np.shares_memory(array, second[key]) is not copied
        assert np.array_equal(array, kept[key]) is (copied or np.array_equal(second[key], kept[key]))


def test_a_copy_in_mid_episode_goes_on_alike(trace: VmTrace) -> None:
    env = VMSchedulingVectorEnv(3, trace=trace, servers=2)
    observation, _ = env.reset(seed=2)
    for _ in range(30):
        observation, *_ = env.step(observation["action_mask"].argmax(axis=1))
    twin = pickle.loads(pickle.dumps(env))
    for _ in range(100):
        actions = observation["action_mask"].argmax(axis=1)
        step, other = env.step(actions), twin.step(actions)
        np.testing.assert_equal(step, other)
        observation = step[0]


def test_an_infeasible_action_moves_no_lane(trace: VmTrace) -> None:
    env = VMSchedulingVectorEnv(3, trace=trace, servers=2)
    observation, _ = env.reset(seed=0)
    twin = copy.deepcopy(env)
    with pytest.raises(InfeasibleAction, match="lane 1: action 4 is not a slot"):
        env.step(np.array([0, 4, 0]))
    actions = observation["action_mask"].argmax(axis=1)
    np.testing.assert_equal(env.step(actions), twin.step(actions))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"num_envs": 0}, "num_envs: 0"),
        ({"num_envs": 2.0}, "num_envs: 2.0"),
        ({"autoreset_mode": "Disabled"}, "'Disabled' is not one of NextStep, SameStep"),
        ({"autoreset_mode": AutoresetMode.DISABLED}, "not one of NextStep, SameStep"),
        ({"render_mode": "human"}, "render_mode"),
        ({"servers": 0}, "servers: 0"),
    ],
)
def test_bad_keywords(trace: VmTrace, keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        VMSchedulingVectorEnv(trace=trace, **keywords)


@pytest.mark.parametrize("actions", [[0, 0, 0], [0.0, 0.0], 0, [[0], [0]]])
def test_bad_actions(trace: VmTrace, actions: Any) -> None:
    env = VMSchedulingVectorEnv(2, trace=trace)
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(2, int))
    env.reset(seed=0)
    with pytest.raises(ValueError, match="give 2 whole numbers"):
        env.step(actions)
