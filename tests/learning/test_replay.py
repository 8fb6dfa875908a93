import copy
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spane_rllib.learning.batch import Batch
from spane_rllib.learning.replay import EpisodeReplay

N = 2


def observations(episode: int, count: int) -> dict[str, np.ndarray]:
    """`count` observations that each carry their episode and step in every value."""
    step = np.arange(count)
    mask = np.zeros((count, 2 * N), np.int8)
    mask[step, step % (2 * N)] = 1
    return {
        "nodes": np.broadcast_to(1000.0 * episode + step, (N, 2, count)).T.astype(np.float32),
        "request": np.broadcast_to((1000 * episode + step)[:, None], (count, 3)).astype(np.int32),
        "action_mask": mask,
    }


def add(replay: EpisodeReplay, episode: int, length: int, terminated: bool = True) -> None:
    data = observations(episode, length + 1)
    replay.add_episode(
        {name: values[:length] for name, values in data.items()},
        action=np.arange(length) % (2 * N),
        reward=np.arange(1.0, length + 1),
        terminated=terminated,
        final_observation=None if terminated else {name: values[-1] for name, values in data.items()},
    )


def rows(batch: Batch) -> set[tuple[float, ...]]:
    """(state, return, discount, next state or -1) of each distinct transition; checks the rest on the way."""
    now, then = batch.observation, batch.next_observation
    state, following = now["nodes"][:, 0, 0], then["nodes"][:, 0, 0]
    size = len(state)
    assert (batch.action == state % 1000 % (2 * N)).all()
    for seen, number in ((now, state), (then, following)):
        assert seen["nodes"].dtype == np.float32 and (seen["nodes"] == number[:, None, None]).all()
        assert seen["request"].dtype == np.int32 and (seen["request"] == number[:, None]).all()
        assert (seen["action_mask"].argmax(axis=1) == number % 1000 % (2 * N)).all()
        assert (seen["action_mask"].sum(axis=1) == 1).all()
    columns = [state, batch.n_step_return, batch.discount, np.where(batch.discount > 0, following, -1)]
    return {tuple(float(c[i]) for c in columns) for i in range(size)}


def test_a_terminated_episode_by_hand() -> None:
    replay = EpisodeReplay(10, n_step=2, gamma=0.5, seed=0)
    add(replay, episode=1, length=3)
    assert len(replay) == 3
    assert rows(replay.sample(200)) == {
        (1000, 2.0, 0.25, 1002),  # 1 + 2/2
        (1001, 3.5, 0.0, -1),  # 2 + 3/2
        (1002, 3.0, 0.0, -1),
    }


def test_a_truncated_episode_by_hand() -> None:
    replay = EpisodeReplay(10, n_step=2, gamma=0.5, seed=0)
    add(replay, episode=1, length=3, terminated=False)
    assert len(replay) == 3  # the final observation is no transition
    assert rows(replay.sample(200)) == {
        (1000, 2.0, 0.25, 1002),
        (1001, 3.5, 0.25, 1003),
        (1002, 3.0, 0.5, 1003),
    }


@given(
    capacity=st.integers(2, 24),
    n_step=st.integers(1, 9),
    episodes=st.lists(st.tuples(st.integers(1, 30), st.booleans()), min_size=1, max_size=12),
)
def test_the_ring_holds_exactly_the_newest_rows(
    capacity: int, n_step: int, episodes: list[tuple[int, bool]]
) -> None:
    """Against a plain list of everything ever added, with wraps and episodes longer than the ring."""
    gamma = 0.5
    replay = EpisodeReplay(capacity, n_step, gamma, seed=0)
    everything: list[tuple[float, ...] | None] = []  # None: a final observation
    for number, (length, terminated) in enumerate(episodes, start=1):
        add(replay, number, length, terminated)
        for t in range(length):
            taken = min(n_step, length - t)
            value = sum(gamma**k * (t + k + 1) for k in range(taken))
            ended = terminated and t + taken == length
            after = (0.0, -1.0) if ended else (gamma**taken, 1000.0 * number + t + taken)
            everything.append((1000.0 * number + t, float(np.float32(value)), *after))
        everything += [] if terminated else [None]
    expected = {row for row in everything[-capacity:] if row is not None}
    assert len(replay) == len(expected)
    assert rows(replay.sample(600)) == expected


def test_sampling_is_uniform_over_transitions() -> None:
    replay = EpisodeReplay(12, 3, 0.9, seed=1)
    for episode in range(5):  # five times two transitions and a final observation; the ring wraps
        add(replay, episode, 2, terminated=False)
    states, counts = np.unique(replay.sample(80_000).observation["nodes"][:, 0, 0], return_counts=True)
    assert len(states) == len(replay) == 8
    assert abs(counts - 10_000).max() < 500  # five standard deviations


def test_the_seed_decides_the_samples() -> None:
    def states(seed: int) -> list[float]:
        replay = EpisodeReplay(100, 3, 0.9, seed)
        add(replay, 0, 90)
        return replay.sample(50).observation["nodes"][:, 0, 0].tolist()

    assert states(0) == states(0) != states(1)


@pytest.mark.parametrize("lengths", [[5], [9, 9, 9]])
def test_a_restored_memory_continues_exactly(lengths: list[int]) -> None:
    def filled() -> EpisodeReplay:
        replay = EpisodeReplay(20, 3, 0.9, seed=5)
        for episode, length in enumerate(lengths):
            add(replay, episode, length, terminated=episode % 2 == 0)
        replay.sample(7)
        return replay

    original, restored = filled(), EpisodeReplay(20, 3, 0.9, seed=99)
    add(restored, 7, 20)  # leftovers must not show
    state = original.state()
    assert len(state["columns"]["action"]) == min(20, sum(lengths) + len(lengths) // 2)
    stored = pickle.dumps(state)
    add(original, 3, 2)
    original.sample(5)  # must not reach into the state
    restored.load_state(pickle.loads(stored))
    original.load_state(state)
    for _ in range(3):
        first, second = (copy.deepcopy(replay.sample(64)) for replay in (original, restored))
        for one, other in zip(first, second, strict=True):
            np.testing.assert_equal(one, other)
        for replay in (original, restored):
            add(replay, 8, 6, terminated=False)
        assert len(original) == len(restored)


def test_a_state_of_other_settings_is_refused() -> None:
    state = EpisodeReplay(20, 3, 0.9, seed=0).state()
    with pytest.raises(ValueError, match="n_step"):
        EpisodeReplay(20, 4, 0.9, seed=0).load_state(state)


def test_sampling_from_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="empty replay memory"):
        EpisodeReplay(10, 3, 0.9, seed=0).sample(4)


def episode(**changes: Any) -> dict[str, Any]:
    """Three steps; changes to names of an observation go there, and None leaves one out."""
    whole = {"observation": observations(0, 3), "action": np.arange(3), "reward": np.zeros(3)}
    for name, value in changes.items():
        (whole["observation"] if name in whole["observation"] or name == "other" else whole)[name] = value
    whole["observation"] = {name: seen for name, seen in whole["observation"].items() if seen is not None}
    return whole


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nodes": np.zeros((3, N + 1, 2))}, r"nodes must have shape \(3, 2, 2\), got \(3, 3, 2\)"),
        ({"request": np.zeros((2, 3))}, r"request must have shape \(3, 3\), got \(2, 3\)"),
        ({"action_mask": np.ones((3, N))}, r"action_mask must have shape \(3, 4\)"),
        ({"action_mask": None}, "an observation needs an action_mask"),
        ({"other": np.zeros(3)}, "observations have nodes, request, action_mask, this one .*, other"),
        ({"reward": np.zeros((3, 1))}, r"reward must have shape \(3,\), got \(3, 1\)"),
        ({"action": np.zeros((3, 1), int)}, r"action must have shape \(3,\)"),
        ({"action": np.array([0, 0, 0])}, "infeasible action"),
        ({"action": np.array([0, 1, 2 * N])}, "infeasible action"),
        ({"action": np.array([0, 1, -2])}, "infeasible action"),
        ({"terminated": False}, "needs its final observation"),
    ],
)
def test_bad_episodes_are_refused_and_leave_no_trace(changes: dict[str, Any], message: str) -> None:
    replay = EpisodeReplay(10, 3, 0.9, seed=0)
    add(replay, 0, 4)
    with pytest.raises(ValueError, match=message):
        replay.add_episode(**episode(**changes))
    assert len(replay) == 4
    replay.add_episode(**episode())
    assert len(replay) == 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"action_mask": np.zeros(2 * N)}, "no feasible action"),
        ({"nodes": np.ones((N + 1, 2))}, r"final nodes must have shape \(2, 2\)"),
    ],
)
def test_bad_final_observations_are_refused(changes: dict[str, Any], message: str) -> None:
    final = {"nodes": np.ones((N, 2)), "request": np.ones(3), "action_mask": np.ones(2 * N), **changes}
    with pytest.raises(ValueError, match=message):
        EpisodeReplay(10, 3, 0.9, seed=0).add_episode(**episode(), terminated=False, final_observation=final)


def test_factored_actions_are_kept_whole() -> None:
    """Feasibility of one part may depend on another, so nothing is checked but the shape."""
    replay = EpisodeReplay(10, 1, 0.9, seed=0)
    pairs = np.array([[7, 1], [8, 2], [9, 3]])
    replay.add_episode(**episode(action=pairs))
    batch = replay.sample(50)
    assert batch.action.dtype == np.int64
    rows_of = batch.observation["nodes"][:, 0, 0].astype(int)
    np.testing.assert_array_equal(batch.action, pairs[rows_of])
    with pytest.raises(ValueError, match=r"action must have shape \(3, 2\), got \(3,\)"):
        replay.add_episode(**episode())
    again = EpisodeReplay(10, 1, 0.9, seed=9)
    again.load_state(replay.state())
    np.testing.assert_array_equal(again.sample(20).action, replay.sample(20).action)


def test_a_state_of_other_observations_is_refused() -> None:
    replay, other = (EpisodeReplay(10, 3, 0.9, seed=0) for _ in range(2))
    add(replay, 0, 4)
    other.add_episode(**episode(other=np.zeros(3)))
    with pytest.raises(ValueError, match="other observations"):
        replay.load_state(other.state())


def test_an_episode_of_no_steps_and_a_ring_of_one_row_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one step"):
        add(EpisodeReplay(10, 3, 0.9, seed=0), 0, 0)
    with pytest.raises(ValueError, match="at least 2, got 1"):
        EpisodeReplay(1, 3, 0.9, seed=0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_capacity_costs_no_memory_before_it_is_used() -> None:
    def resident_pages() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1])

    before = resident_pages()
    replay = EpisodeReplay(5_000_000, 3, 0.9, seed=0)  # over 300 MB when full
    add(replay, 0, 500)
    replay.sample(10)
    assert (resident_pages() - before) * 4096 < 60e6
