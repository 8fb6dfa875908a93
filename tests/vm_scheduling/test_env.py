import copy
import math
import pickle
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

import spane_rllib
from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.splits import Splits
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.simulator import Cluster, Heuristic, Workload, run_heuristic
from spane_rllib.problems.vm_scheduling.simulator.lanes import InfeasibleAction
from spane_rllib.problems.vm_scheduling.waits.env import VMSchedulingEnv, create_env
from spane_rllib.problems.vm_scheduling.waits.instance import UNPLACED_WAIT

ID = "spane_rllib/VMScheduling-v0"
TINY = {
    "servers": 1,
    "node_cpu": 4,
    "node_memory": 8,
    "splits": {"train": (0, 1), "validation": (1, 2), "test": (2, 3)},
}


def assert_same(left: Any, right: Any) -> None:
    """Equal steps: observation, numbers and info, to the last bit."""
    for a, b in zip(left, right, strict=True):
        np.testing.assert_equal(a, b)


def play(env: VMSchedulingEnv, seed: int, episodes: int = 1) -> list[tuple[Any, ...]]:
    """Steps under random feasible actions, from `reset(seed=seed)` on."""
    rng, steps = np.random.default_rng(seed), []
    for episode in range(episodes):
        observation, info = env.reset(seed=seed if episode == 0 else None)
        steps.append((observation, info))
        ended = False
        while not ended:
            action = rng.choice(np.flatnonzero(observation["action_mask"]))
            step = env.step(action)
            steps.append(step)
            observation, ended = step[0], step[2] or step[3]
    return steps


def test_an_episode_by_hand(tiny_trace: VmTrace) -> None:
    env = VMSchedulingEnv(tiny_trace, **TINY)
    observation, info = env.reset(options={"start": 0, "vm_count": 9})
    # VM 0 needs 2 of 4 cpu and 2 of 8 GiB.
    np.testing.assert_array_equal(observation["servers"], np.ones((1, 2, 2)))
    np.testing.assert_array_equal(observation["request"], [0.5, 0.25, 0])
    np.testing.assert_array_equal(observation["action_mask"], [1, 1])
    begin = {
        "wait": 0,
        "time": 0,
        "vm": 0,
        "placed": 0,
        "total_wait": 0,
        "max_wait": 0,
        "start": 0,
        "vm_count": 4,
    }
    assert info == begin

    # VM 1 is double: 4 of 4 cpu and 12 of 8 GiB in shares of one node.
    observation, reward, terminated, truncated, info = env.step(0)
    np.testing.assert_array_equal(observation["servers"], [[[0.5, 0.75], [1, 1]]])
    np.testing.assert_array_equal(observation["request"], [1, 1.5, 1])
    np.testing.assert_array_equal(observation["action_mask"], [1, 1])
    assert (reward, terminated, truncated) == (0, False, False)

    # VM 2 needs 3 cpu. VM 0 leaves at 10 s, which is not enough; VM 1 leaves at 20 s.
    observation, reward, _, _, info = env.step(1)
    np.testing.assert_array_equal(observation["servers"], np.ones((1, 2, 2)))
    assert (reward, info["time"], info["vm"], info["placed"]) == (0, 20, 2, 2)

    # It waited from 1 s to 20 s, VM 3 behind it from 2 s to 20 s.
    observation, reward, _, _, info = env.step(1)
    np.testing.assert_array_equal(observation["servers"], [[[1, 1], [0.25, 0.5]]])
    np.testing.assert_array_equal(observation["request"], [0.25, 0.125, 0])
    assert (reward, info["wait"]) == (-math.log1p(19), 19)

    observation, reward, terminated, truncated, info = env.step(1)
    assert (reward, terminated, truncated) == (-math.log1p(18), True, False)
    np.testing.assert_array_equal(observation["servers"], [[[1, 1], [0, 0.375]]])
    assert not observation["request"].any() and not observation["action_mask"].any()
    assert info == {
        "wait": 18,
        "time": 20,
        "vm": 4,
        "placed": 4,
        "total_wait": 37,
        "max_wait": 19,
        "start": 0,
        "vm_count": 4,
    }


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32), servers=st.integers(1, 4), threshold=st.sampled_from([10.0, 30.0]))
def test_schedules_are_feasible_and_masks_complete(
    trace: VmTrace, seed: int, servers: int, threshold: float
) -> None:
    """Recomputes who runs where from the waits alone, at every decision."""
    env = VMSchedulingEnv(trace, servers=servers, double_memory_threshold=threshold, extra_vms=100)
    rng = np.random.default_rng(seed)
    observation, info = env.reset(seed=seed)
    need: list[np.ndarray] = []  # (2 * servers, 2) of every VM placed so far
    ends: list[float] = []
    ended, started, waits = False, -math.inf, []
    while not ended:
        vm, now = info["vm"], info["time"]
        used = sum((n for n, end in zip(need, ends, strict=True) if end > now), np.zeros((2 * servers, 2)))
        free = np.array([40.0, 90.0]) - used
        assert (free >= 0).all() and now >= max(started, trace.arrival[vm])
        np.testing.assert_allclose(observation["servers"].reshape(-1, 2), free / [40, 90], rtol=1e-6)
        size = np.array([trace.cpu[vm], trace.memory[vm]])
        double = size[1] > threshold
        fits = (free >= (size / 2 if double else size)).all(axis=1)
        if double:
            fits = np.repeat(fits.reshape(-1, 2).all(axis=1), 2)
        np.testing.assert_array_equal(observation["action_mask"], fits)

        action = rng.choice(np.flatnonzero(fits))
        observation, _, terminated, truncated, info = env.step(action)
        started = trace.arrival[vm] + info["wait"]
        assert started == now
        placed = np.zeros((2 * servers, 2))
        placed[[action, action ^ 1] if double else [action]] = size / 2 if double else size
        need.append(placed)
        ends.append(started + trace.lifetime[vm])
        waits.append(info["wait"])
        ended = terminated or truncated
    assert terminated and len(waits) == info["placed"] == info["vm_count"]
    assert info["total_wait"] == pytest.approx(sum(waits)) and info["max_wait"] == max(waits)


@pytest.mark.parametrize("start", [0, 40, 150])
def test_rewards_add_up_to_the_return_of_the_simulator(trace: VmTrace, start: int) -> None:
    env = VMSchedulingEnv(trace, servers=2)
    observation, info = env.reset(options={"start": start})
    total, ended = 0.0, False
    while not ended:
        observation, reward, ended, _, info = env.step(observation["action_mask"].argmax())
        total += reward
    cluster = Cluster(servers=2)
    expected = run_heuristic(
        Workload(trace, cluster), cluster, Heuristic("first-fit"), [start], [info["vm_count"]]
    )
    assert info["total_wait"] == expected.total_wait[0] > 0
    assert info["max_wait"] == expected.max_wait[0]
    assert total == expected.episode_return[0]


def test_gymnasium_accepts_it(trace: VmTrace) -> None:
    assert spane_rllib.__version__  # the import registers the id
    env = gymnasium.make(ID, trace=trace, servers=3)
    assert env.spec.kwargs["servers"] == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)


def test_every_observation_lies_in_its_space(trace: VmTrace) -> None:
    env = VMSchedulingEnv(trace, servers=2)
    for observation, *_ in play(env, 3, episodes=2):
        assert env.observation_space.contains(observation)


def test_one_seed_one_course(trace: VmTrace) -> None:
    first, second = (play(VMSchedulingEnv(trace, servers=2), 7, episodes=3) for _ in range(2))
    for left, right in zip(first, second, strict=True):
        assert_same(left, right)
    other = play(VMSchedulingEnv(trace, servers=2), 8)
    assert other[0][1]["start"] != first[0][1]["start"]


def test_arrays_returned_are_never_written_again(trace: VmTrace) -> None:
    env = VMSchedulingEnv(trace, servers=2)
    observations = [step[0] for step in play(env, 5)]
    kept = copy.deepcopy(observations)
    play(env, 6)
    np.testing.assert_equal(observations, kept)
    for array in observations[0].values():
        array[...] = 0  # nor does writing to them reach the environment
    np.testing.assert_equal(env.reset(seed=5)[0], kept[0])


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
@pytest.mark.parametrize("reward", ["log_wait", "balance"])
def test_a_copy_in_mid_episode_goes_on_alike(trace: VmTrace, duplicate: Any, reward: str) -> None:
    env = VMSchedulingEnv(trace, servers=2, reward=reward)
    observation, _ = env.reset(seed=11)
    for _ in range(25):
        observation, *_ = env.step(observation["action_mask"].argmax())
    twin = duplicate(env)
    ended = False
    while not ended:
        action = len(observation["action_mask"]) - 1 - observation["action_mask"][::-1].argmax()
        step = env.step(action)
        assert_same(step, twin.step(action))
        observation, ended = step[0], step[2]
    assert_same(env.reset(), twin.reset())  # the random state was copied too


def test_starts_are_drawn_from_the_split(trace: VmTrace) -> None:
    env = VMSchedulingEnv(trace, split="test", splits=Splits((0, 10), (10, 20), (300, 304)))
    assert {env.reset(seed=seed)[1]["start"] for seed in range(60)} == {300, 301, 302, 303}


def test_an_episode_is_as_long_as_first_fits_run_plus_the_extra_vms(trace: VmTrace) -> None:
    short, long = (
        VMSchedulingEnv(trace, servers=2, extra_vms=extra).reset(options={"start": 9})[1]["vm_count"]
        for extra in (0, 30)
    )
    assert long == short + 30


def test_an_episode_is_cut_at_the_end_of_the_trace(trace: VmTrace) -> None:
    env = VMSchedulingEnv(trace)
    assert env.reset(options={"start": 380, "vm_count": 10**15})[1]["vm_count"] == 19


def test_behind_vms_that_never_end_the_episode_is_truncated() -> None:
    trace = VmTrace(np.full(4, 4.0), np.ones(4), np.zeros(4), np.full(4, np.inf), "for ever")
    env = VMSchedulingEnv(trace, **TINY)
    env.reset(options={"start": 0, "vm_count": 3})
    assert env.step(0)[2:4] == (False, False)
    observation, reward, terminated, truncated, info = env.step(1)
    assert (reward, terminated, truncated, info["placed"]) == (0, False, True, 2)
    assert not observation["action_mask"].any()
    with pytest.raises(ResetNeeded, match="reset"):
        env.step(0)


@pytest.mark.parametrize(
    ("action", "message"),
    [(0, r"slot 0 .*no room for VM 1 .*feasible are \[1\]"), (-1, "0 to 1"), (2**70, "0 to 1")],
)
def test_an_infeasible_action_is_refused_and_changes_nothing(action: int, message: str) -> None:
    trace = VmTrace(np.full(4, 4.0), np.ones(4), np.zeros(4), np.full(4, 9.0), "wide")
    env = VMSchedulingEnv(trace, **TINY)
    env.reset(options={"start": 0, "vm_count": 3})
    env.step(0)
    twin = copy.deepcopy(env)
    with pytest.raises(InfeasibleAction, match=message):
        env.step(action)
    assert_same(env.step(1), twin.step(1))


@pytest.mark.parametrize("action", [0, -1, 2, 2**70])
def test_an_infeasible_action_can_end_the_episode(action: int) -> None:
    trace = VmTrace(np.full(4, 4.0), np.ones(4), np.zeros(4), np.full(4, 9.0), "wide")
    env = VMSchedulingEnv(trace, **TINY, infeasible_action="terminate")
    env.reset(options={"start": 0, "vm_count": 3})
    env.step(0)
    observation, reward, terminated, truncated, info = env.step(action)
    assert (terminated, truncated, info["placed"], info["vm_count"]) == (True, False, 1, 3)
    assert reward == -2 * math.log1p(UNPLACED_WAIT)  # VMs 1 and 2
    assert not observation["action_mask"].any() and not observation["request"].any()
    with pytest.raises(ResetNeeded):
        env.step(1)
    assert env.reset(options={"start": 0, "vm_count": 3})[0]["action_mask"].all()


def test_an_action_must_be_a_whole_number(trace: VmTrace) -> None:
    env = VMSchedulingEnv(trace)
    with pytest.raises(ResetNeeded):
        env.step(0)
    env.reset(seed=0)
    with pytest.raises(TypeError):
        env.step(0.5)


def test_a_function_can_be_the_reward(tiny_trace: VmTrace) -> None:
    env = VMSchedulingEnv(tiny_trace, **TINY, reward=lambda wait, servers: wait + servers.sum(axis=(1, 2, 3)))
    env.reset(options={"start": 0})
    assert env.step(0)[1] == 0 + (0.5 + 0.75 + 1 + 1)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"servers": 0}, "servers: 0 .* at least 1"),
        ({"servers": 2.5}, "servers: 2.5 .*whole number"),
        ({"servers": True}, "servers: True .*whole number"),
        ({"node_cpu": -1}, "node_cpu: -1 .*positive"),
        ({"node_memory": "90"}, "node_memory: '90' .*number"),
        ({"node_cpu": 2}, "VM .* needs .*larger servers"),
        ({"double_memory_threshold": math.nan}, "double_memory_threshold: nan"),
        ({"split": "holdout"}, "'holdout'.*train, validation, test"),
        ({"splits": {"train": (0, 1)}}, "splits: .*train, validation and test"),
        ({"splits": {"train": 3, "validation": 4, "test": 5}}, "splits: "),
        ({"splits": Splits((0, 400), (1, 2), (2, 3))}, r"splits: train is \[0, 400\).*before row 399"),
        ({"reward": "profit"}, "reward: 'profit' is not one of log_wait, balance, wait"),
        ({"reward": ["log_wait"]}, "reward: .*is not one of"),
        ({"infeasible_action": "ignore"}, "'ignore' is not one of error, terminate"),
        ({"extra_vms": -1}, "extra_vms: -1 .*at least 0"),
        ({"render_mode": "human"}, "render_mode: 'human'"),
        ({"trace": "/no/such/trace.csv"}, "no trace at /no/such/trace.csv"),
        ({"server": 5}, "env_config: 'server' is not known; allowed are trace, servers"),
    ],
)
def test_bad_keywords(trace: VmTrace, keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        create_env({"trace": trace} | keywords)
    assert "\n" not in str(caught.value)


def test_rendering_draws_what_is_in_use(trace: VmTrace) -> None:
    env = create_env({"trace": trace, "render_mode": "rgb_array"})
    with pytest.raises(ResetNeeded):
        env.render()
    env.reset(seed=0, options={"start": 0, "vm_count": 3})
    empty = env.render()
    assert empty is not None and (empty.shape, empty.dtype) == ((560, 640, 3), np.uint8)
    env.step(env.observation_space["action_mask"].shape[0] - 1)
    full = env.render()
    assert full is not None
    np.testing.assert_array_equal(full, env.render())
    cpu = (0x00, 0x72, 0xB2)  # the bars of the last server

    def blue(picture: Any) -> Any:
        return np.flatnonzero((picture[:380] == cpu).all(axis=2).sum(axis=0) > 12)

    assert len(blue(empty)) < len(blue(full)) and blue(full).max() > 400
    plain = create_env({"trace": trace})
    plain.reset(seed=0)
    assert plain.render() is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"begin": 3}, "options: 'begin' is not known; allowed are start and vm_count"),
        ({"start": -1}, "start=-1 .*at least 0"),
        ({"start": 1.5}, "start=1.5 .*whole number"),
        ({"start": True}, "start=True"),
        ({"start": [1, 2]}, r"start=\[1, 2\]"),
        ({"start": 399}, "start 399 .*allowed are 0 to 398"),
        ({"vm_count": 0}, "vm_count=0 .*at least 1"),
        ({"vm_count": "7"}, "vm_count='7'"),
    ],
)
def test_bad_reset_options(trace: VmTrace, options: dict[str, Any], message: str) -> None:
    env = VMSchedulingEnv(trace)
    with pytest.raises(UserError, match=message):
        env.reset(options=options)


def test_a_dictionary_of_keywords_creates_it(trace: VmTrace) -> None:
    assert create_env({"trace": trace, "servers": 2}).action_space.n == 4
