import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from spane_rllib.core.settings import user_error
from spane_rllib.learning.algorithms import DqnSettings, ImitatingDqnSettings
from spane_rllib.learning.batch import Batch
from spane_rllib.learning.dqn import DqnUpdate
from spane_rllib.learning.replay import EpisodeReplay


class TableNetwork(nn.Module):
    """Q values as a table by the state's number."""

    def __init__(self, q: list[list[float]]) -> None:
        super().__init__()
        self.q = nn.Parameter(torch.tensor(q))

    def forward(self, observation: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.q[observation["state"]]


class MlpNetwork(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 4))
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.3, generator=generator)

    def forward(self, observation: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.layers(observation["seen"])


def transitions(*items: tuple[int, int, float, float, int, list[int]]) -> Batch:
    """(state, action, return, discount, next state, next mask) of each transition, for `TableNetwork`."""
    state, action, returns, discount, following, mask = zip(*items, strict=True)

    def floats(values: tuple[float, ...]) -> np.ndarray:
        return np.array(values, np.float32)

    def observed(states: tuple[int, ...], masks: list[list[int]]) -> dict[str, np.ndarray]:
        return {"state": np.array(states), "action_mask": np.array(masks, np.int8)}

    return Batch(
        observed(state, [ALL] * len(items)),
        np.array(action),
        floats(returns),
        floats(discount),
        observed(following, mask),
    )


ALL = [1, 1, 1, 1]
ONLINE = [[0.0, 0.0, 0.0, 0.0], [1.0, 5.0, 9.0, 2.0]]
TARGET = [[0.0, 0.0, 0.0, 0.0], [4.0, 3.0, 1.0, 8.0]]


def first_target(settings: DqnSettings, batch: Batch) -> float:
    """The target of the only transition, from the loss at Q = 0."""
    target = TableNetwork(TARGET)
    learner = DqnUpdate(TableNetwork(ONLINE), settings, target)
    target.load_state_dict(TableNetwork(TARGET).state_dict())  # as if the online network had moved on
    return math.sqrt(learner.update(batch)["loss"])


@pytest.mark.parametrize(
    ("double_q", "mask_bootstrap", "next_mask", "expected"),
    [
        (True, True, ALL, 1 + 0.5 * 1),  # online prefers action 2, worth 1 to the target network
        (False, True, ALL, 1 + 0.5 * 8),  # the target network's own maximum
        (True, True, [1, 1, 0, 1], 1 + 0.5 * 3),  # the best feasible action of the online network is 1
        (False, True, [1, 1, 1, 0], 1 + 0.5 * 4),
        (True, False, [1, 1, 0, 1], 1 + 0.5 * 1),  # the reference: infeasible, chosen all the same
        (False, False, [1, 1, 1, 0], 1 + 0.5 * 8),
    ],
)
def test_targets_by_hand(double_q: bool, mask_bootstrap: bool, next_mask: list[int], expected: float) -> None:
    settings = DqnSettings(double_q=double_q, mask_bootstrap=mask_bootstrap)
    assert first_target(settings, transitions((0, 0, 1.0, 0.5, 1, next_mask))) == pytest.approx(expected)


@pytest.mark.parametrize("double_q", [True, False])
def test_a_terminal_state_without_feasible_action_adds_nothing(double_q: bool) -> None:
    settings = DqnSettings(double_q=double_q)
    assert first_target(settings, transitions((0, 0, 3.0, 0.0, 1, [0, 0, 0, 0]))) == pytest.approx(3.0)


def test_one_step_by_hand() -> None:
    """Errors -1 and 3 on separate weights; Adam's first step is the sign times the learning rate."""
    network = TableNetwork([[2.0, 4.0, 0.0, 0.0]])
    learner = DqnUpdate(network, DqnSettings(learning_rate=0.1, weight_decay=0.0))
    metrics = learner.update(transitions((0, 0, 3.0, 0.0, 0, ALL), (0, 1, 1.0, 0.0, 0, ALL)))
    assert metrics["loss"] == pytest.approx((1 + 9) / 2)
    assert metrics["mean_q"] == pytest.approx(3.0)
    assert metrics["grad_norm"] == pytest.approx(math.hypot(-1, 3))  # d/dq of (q - y)^2 / 2 rows
    assert metrics["learning_rate"] == 0.1
    np.testing.assert_allclose(network.q.detach()[0], [2.1, 3.9, 0, 0], atol=1e-5)


def test_huber_loss_by_hand() -> None:
    learner = DqnUpdate(TableNetwork([[0.0, 0.0, 0.0, 0.0]]), DqnSettings(loss="huber"))
    batch = transitions((0, 0, 0.5, 0.0, 0, ALL), (0, 1, 4.0, 0.0, 0, ALL))
    assert learner.update(batch)["loss"] == pytest.approx((0.5 * 0.5**2 + (4 - 0.5)) / 2)


def test_clipping_bounds_what_adam_sees_and_reports_the_norm_before() -> None:
    learner = DqnUpdate(TableNetwork([[0.0, 0.0, 0.0, 0.0]]), DqnSettings(grad_clip=0.5))
    metrics = learner.update(transitions((0, 0, 10.0, 0.0, 0, ALL)))
    assert metrics["grad_norm"] == pytest.approx(20)
    first_moment = learner.state_dict()["optimizer"]["moments"][0][0]
    assert first_moment.norm().item() == pytest.approx((1 - 0.9) * 0.5, rel=1e-4)


def test_the_target_network_moves_only_at_a_sync() -> None:
    learner = DqnUpdate(TableNetwork(ONLINE), DqnSettings(target_sync_every=3))
    before = learner.target.q.clone()
    batch = transitions((0, 0, 3.0, 0.5, 1, ALL))
    for _ in range(2):
        learner.update(batch)
        assert torch.equal(learner.target.q, before)
    learner.update(batch)
    assert torch.equal(learner.target.q, learner.network.q)
    assert not torch.equal(learner.target.q, before)
    assert not learner.target.q.requires_grad


def test_a_given_target_network_starts_as_a_copy() -> None:
    target = TableNetwork(TARGET)
    DqnUpdate(TableNetwork(ONLINE), DqnSettings(), target)
    assert target.q.tolist() == ONLINE


def test_the_learning_rate_decays() -> None:
    settings = DqnSettings(learning_rate=0.1, learning_rate_decay=0.5, learning_rate_decay_every=2)
    learner = DqnUpdate(TableNetwork(ONLINE), settings)
    batch = transitions((0, 0, 3.0, 0.5, 1, ALL))
    rates, moved = [], []
    for _ in range(3):
        before = learner.network.q.detach().clone()
        rates.append(learner.update(batch)["learning_rate"])
        moved.append((learner.network.q.detach() - before).abs().max().item())
    assert rates == [0.1, 0.1, 0.05]
    assert moved == pytest.approx(rates, rel=0.1)  # Adam moves by the rate while gradients hardly change


def training(seed: int) -> tuple[DqnUpdate, EpisodeReplay]:
    random = np.random.default_rng(seed)
    replay = EpisodeReplay(300, 5, 0.95, seed)
    for _ in range(4):
        observation = {
            "seen": random.random((60, 5), dtype=np.float32),
            "action_mask": np.ones((60, 4), np.int8),
        }
        replay.add_episode(observation, random.integers(4, size=60), random.random(60))
    settings = DqnSettings(target_sync_every=2, learning_rate_decay_every=2)
    return DqnUpdate(MlpNetwork(seed), settings), replay


def run(learner: DqnUpdate, replay: EpisodeReplay, updates: int) -> dict[str, float]:
    return [learner.update(replay.sample(32)) for _ in range(updates)][-1]


def assert_same(first: Any, second: Any) -> None:
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_the_seed_decides_the_weights() -> None:
    first, again, other = (training(seed) for seed in (0, 0, 1))
    for learner, replay in (first, again, other):
        run(learner, replay, 5)
    assert_same(first[0].state_dict(), again[0].state_dict())
    assert not torch.equal(first[0].network.layers[0].weight, other[0].network.layers[0].weight)


def test_three_and_three_updates_equal_six() -> None:
    learner, replay = training(0)
    run(learner, replay, 3)  # an odd number: in the middle of a target period
    saved = learner.state_dict(), copy.deepcopy(replay.state())
    metrics = run(learner, replay, 3)

    resumed, resumed_replay = training(1)  # everything about it must be overwritten
    resumed.load_state_dict(saved[0])
    resumed_replay.load_state(saved[1])
    assert run(resumed, resumed_replay, 3) == metrics
    assert_same(resumed.state_dict(), learner.state_dict())
    assert resumed.updates == 6


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("discount", 1.1, "less than or equal to 1"),
        ("discount", math.nan, "a finite number"),
        ("epsilon_initial", -0.1, "greater than or equal to 0"),
        ("epsilon_final", 2, "less than or equal to 1"),
        ("n_step", 0, "greater than or equal to 1"),
        ("batch_size", 0, "greater than or equal to 1"),
        ("target_sync_every", 0, "greater than or equal to 1"),
        ("learning_rate_decay_every", 0, "greater than or equal to 1"),
        ("replay_capacity", 1, "greater than or equal to 2"),
        ("learning_rate", 0.0, "greater than 0"),
        ("learning_rate", math.inf, "a finite number"),
        ("learning_rate_decay", 1.5, "less than or equal to 1"),
        ("weight_decay", -1e-8, "greater than or equal to 0"),
        ("epsilon_decay_steps", -1, "greater than or equal to 1"),
        ("grad_clip", 0.0, "greater than 0"),
        ("loss", "mae", "'mse' or 'huber'"),
        ("reward_scale", 0.0, "greater than 0"),
        ("weight_averaging", 1.0, "less than 1"),
    ],
)
def test_settings_out_of_range_are_refused(field: str, value: Any, allowed: str) -> None:
    with pytest.raises(ValidationError) as caught:
        DqnSettings(**{field: value})
    assert str(user_error(caught.value)) == f"{field}: must be {allowed}, got {value!r}"


def test_the_schedules_follow_the_settings() -> None:
    settings = DqnSettings(gradient_steps=5000)
    assert [settings.epsilon_schedule()(u) for u in (0, 2500, 5000)] == pytest.approx([0.6, 0.3, 0.0])
    assert settings.learning_rate_schedule()(200) == pytest.approx(0.01 * 0.99**2)


def test_epsilon_decay_steps_take_the_place_of_the_gradient_steps() -> None:
    epsilon = DqnSettings(gradient_steps=5000, epsilon_decay_steps=1000).epsilon_schedule()
    assert [epsilon(u) for u in (0, 500, 1000)] == pytest.approx([0.6, 0.3, 0.0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"imitation_weight": 1.0}, "imitation_weight needs a heuristic to imitate"),
        ({"imitation_weight": -1.0}, "imitation_weight: must be greater than or equal to 0"),
        ({"imitation_steps": 0}, "imitation_steps: must be greater than or equal to 1"),
        ({"imitation_decisions": 0}, "imitation_decisions: must be greater than or equal to 1"),
    ],
)
def test_bad_settings_of_an_imitation_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ImitatingDqnSettings(**settings)
    assert str(user_error(caught.value)).startswith(message)
