import math

import numpy as np
import pytest

from spane_rllib.problems.vm_scheduling.waits.rewards import BALANCE_WEIGHT, REWARDS

WAIT = np.array([0.0, 1.0, 7200.0])
# Lane 0: balanced; lane 1: one of two servers has a full and an empty node; lane 2: both, cpu only.
SERVERS = np.array(
    [
        [[[0.5, 0.25], [0.5, 0.25]], [[1, 1], [1, 1]]],
        [[[0, 0], [1, 1]], [[0.5, 0.5], [0.5, 0.5]]],
        [[[0, 1], [1, 1]], [[1, 1], [0, 1]]],
    ],
    np.float32,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("log_wait", [0, -math.log(2), -math.log(7201)]),
        ("wait", [0, -1 / 3600, -2]),
        ("fairness", [0, -1 / 3600 - 1 / 3600**2, -6]),
        ("log_wait_hours", [0, -math.log1p(1 / 3600), -math.log(3)]),
        (
            "balance",
            [0, -math.log(2) - 0.5 * BALANCE_WEIGHT, -math.log(7201) - 0.5 * BALANCE_WEIGHT],
        ),
    ],
)
def test_values(name: str, expected: list[float]) -> None:
    wait = WAIT.copy()
    rewards = REWARDS[name](wait, SERVERS)
    np.testing.assert_allclose(rewards, expected, rtol=1e-15)
    assert rewards.shape == (3,) and rewards.dtype == np.float64
    assert not np.shares_memory(rewards, wait)
    np.testing.assert_array_equal(wait, WAIT)
    # A lane's reward is its own affair.
    np.testing.assert_array_equal(REWARDS[name](WAIT[2:], SERVERS[2:]), rewards[2:])
