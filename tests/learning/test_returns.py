import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spane_rllib.learning.returns import bootstrap_discounts, bootstrap_steps, n_step_returns

DISCOUNTS = st.floats(0, 1)


@pytest.mark.parametrize(
    ("n", "gamma", "expected"),
    [
        (1, 0.5, [1, 2, 4, 8]),
        (2, 0.5, [2, 4, 8, 8]),  # 1 + 2/2, 2 + 4/2, 4 + 8/2, 8
        (3, 0.5, [3, 6, 8, 8]),  # 1 + 2/2 + 4/4, 2 + 4/2 + 8/4, ...
        (4, 0.5, [4, 6, 8, 8]),
        (10**15, 0.5, [4, 6, 8, 8]),  # the whole episode, without 10**15 weights
        (3, 0.0, [1, 2, 4, 8]),
        (3, 1.0, [7, 14, 12, 8]),
    ],
)
def test_returns_by_hand(n: int, gamma: float, expected: list[float]) -> None:
    assert n_step_returns([1, 2, 4, 8], n, gamma).tolist() == expected


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.integers(1, 50), DISCOUNTS)
def test_returns_equal_the_definition(rewards: list[float], n: int, gamma: float) -> None:
    expected = [sum(gamma**k * r for k, r in enumerate(rewards[t : t + n])) for t in range(len(rewards))]
    np.testing.assert_allclose(n_step_returns(rewards, n, gamma), expected, rtol=1e-12, atol=1e-7)


@pytest.mark.parametrize("gamma", [0.5, 0.9, 0.95, 1.0])
def test_returns_stay_exact_late_in_a_long_episode(gamma: float) -> None:
    rewards = -np.log1p(np.random.default_rng(0).exponential(1e4, 3000))
    expected = [rewards[t : t + 50] @ gamma ** np.arange(len(rewards[t : t + 50])) for t in range(3000)]
    np.testing.assert_allclose(n_step_returns(rewards, 50, gamma), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("n", "terminated", "expected"),
    [
        (2, True, [0.25, 0.25, 0, 0]),  # steps 2 and 3 reach the terminal state
        (2, False, [0.25, 0.25, 0.25, 0.5]),  # the last step is one step from the final observation
        (4, True, [0, 0, 0, 0]),
        (4, False, [0.0625, 0.125, 0.25, 0.5]),
        (9, True, [0, 0, 0, 0]),
        (9, False, [0.0625, 0.125, 0.25, 0.5]),
    ],
)
def test_discounts_by_hand(n: int, terminated: bool, expected: list[float]) -> None:
    assert bootstrap_discounts(4, n, 0.5, terminated).tolist() == expected


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=30), st.integers(1, 40), DISCOUNTS, st.booleans())
def test_true_values_are_a_fixed_point(rewards: list[float], n: int, gamma: float, terminated: bool) -> None:
    """With the exact value of every state, each target equals the value of its own state."""
    values = [0.0 if terminated else 7.0]
    for reward in reversed(rewards):
        values.append(reward + gamma * values[-1])
    values.reverse()
    length = len(rewards)
    successor = np.arange(length) + bootstrap_steps(length, n)
    discounts = bootstrap_discounts(length, n, gamma, terminated)
    targets = n_step_returns(rewards, n, gamma) + discounts * np.array(values)[successor]
    np.testing.assert_allclose(targets, values[:-1], rtol=1e-9, atol=1e-9)
