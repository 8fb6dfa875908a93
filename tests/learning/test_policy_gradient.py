"""Policy gradients: advantages, clipped objective and SAC target by hand, masks, exact continuation."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from spane_rllib.core.settings import user_error
from spane_rllib.learning.advantages import generalized_advantages, relative_rewards
from spane_rllib.learning.algorithms import A2cSettings, OnPolicy, PpoSettings, SacSettings
from spane_rllib.learning.batch import Batch
from spane_rllib.learning.networks import CategoricalPolicy
from spane_rllib.learning.policy_gradient import Decisions, PolicyGradientUpdate, clipped_objective
from spane_rllib.learning.sac import SacUpdate, soft_value
from spane_rllib.learning.tensors import entropy, masked_log_softmax


def test_advantages_by_hand() -> None:
    """gamma = lambda = 1/2: delta_2 = 4 + 6/2 - 2 = 5, delta_1 = 0 + 2/2 - 1 = 0, delta_0 = 1 + 1/2 - 3."""
    rewards, values = np.array([1.0, 0.0, 4.0]), np.array([3.0, 1.0, 2.0])
    advantages = generalized_advantages(rewards, values, 6.0, 0.5, 0.5)
    np.testing.assert_allclose(advantages, [-1.5 + 1.25 / 4, 1.25, 5.0])


@given(
    rewards=st.lists(st.floats(-5, 5), min_size=1, max_size=30),
    last=st.floats(-5, 5),
    discount=st.floats(0, 1),
)
@settings(max_examples=50)
def test_the_ends_of_lambda(rewards: list[float], last: float, discount: float) -> None:
    """Lambda 1 is the discounted return less the value, lambda 0 the error of a single step."""
    values = np.linspace(-1, 1, len(rewards))
    following = np.append(values[1:], last)
    returns, total = np.zeros(len(rewards)), last
    for t in reversed(range(len(rewards))):
        returns[t] = total = rewards[t] + discount * total
    whole = generalized_advantages(np.array(rewards), values, last, discount, 1.0)
    single = generalized_advantages(np.array(rewards), values, last, discount, 0.0)
    np.testing.assert_allclose(whole, returns - values, atol=1e-9)
    np.testing.assert_allclose(single, np.array(rewards) + discount * following - values, atol=1e-9)


def test_relative_rewards_by_hand() -> None:
    """Sums (1.75, 1.5, 1) and (1) with discount 1/2, so means (1.375, 0.75, 0.5)."""
    longer, shorter = relative_rewards([np.ones(3), np.ones(1)], 2, 0.5)
    np.testing.assert_allclose(longer, [1 - 1.375 + 0.375, 1 - 0.75 + 0.25, 1 - 0.5])
    np.testing.assert_allclose(shorter, [1 - 1.375])


@given(
    lengths=st.lists(st.integers(1, 9), min_size=4, max_size=4),
    discount=st.floats(0, 1),
    seed=st.integers(0, 99),
)
@settings(max_examples=50)
def test_relative_rewards_sum_to_the_difference_to_the_group(
    lengths: list[int], discount: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    rewards = [random.normal(size=length) for length in lengths]
    totals = [reward @ discount ** np.arange(len(reward)) for reward in rewards]
    relative = relative_rewards(rewards, 2, discount)
    sums = [reward @ discount ** np.arange(len(reward)) for reward in relative]
    means = np.repeat([np.mean(totals[:2]), np.mean(totals[2:])], 2)
    np.testing.assert_allclose(sums, totals - means, atol=1e-9)


@pytest.mark.parametrize(
    ("ratio", "advantage", "clip", "expected"),
    [
        (1.5, 2.0, 0.2, 2.4),  # a gain is cut off at 1.2
        (0.5, 2.0, 0.2, 1.0),  # a loss is not
        (1.5, -2.0, 0.2, -3.0),
        (0.5, -2.0, 0.2, -1.6),
        (1.1, 2.0, 0.2, 2.2),
        (1.5, 2.0, None, 3.0),
    ],
)
def test_the_clipped_objective(ratio: float, advantage: float, clip: float | None, expected: float) -> None:
    objective = clipped_objective(torch.tensor([ratio]), torch.tensor([advantage]), clip)
    assert objective.item() == pytest.approx(expected)


def test_masked_actions_have_no_probability_and_no_gradient() -> None:
    logits = torch.tensor([[1.0, 100.0, 1.0, -3.0]], requires_grad=True)
    log_probabilities = masked_log_softmax(logits, torch.tensor([[1, 0, 1, 0]]))
    assert log_probabilities.exp().tolist() == [[0.5, 0.0, 0.5, 0.0]]
    assert entropy(log_probabilities).item() == pytest.approx(np.log(2))
    (entropy(log_probabilities) + log_probabilities[:, 0]).sum().backward()
    assert logits.grad is not None and logits.grad[0, [1, 3]].tolist() == [0.0, 0.0]
    assert torch.isfinite(logits.grad).all()


def test_the_soft_value_by_hand() -> None:
    """Probabilities 1/4 and 3/4 over the values 4 and 8, temperature 2."""
    log_probabilities = masked_log_softmax(torch.tensor([[0.0, np.log(3.0), 9.0]]), torch.tensor([[1, 1, 0]]))
    spread = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    value = soft_value(log_probabilities, torch.tensor([[4.0, 8.0, 1000.0]]), 2.0)
    assert value.item() == pytest.approx(7.0 + 2 * spread, rel=1e-6)


class TablePolicy(CategoricalPolicy, nn.Module):
    """Values and logits as tables by the state's number."""

    def __init__(self, states: int, actions: int, value: float = 0.0) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.full((states, 1), value))
        self.logits = nn.Parameter(torch.zeros(states, actions))

    def value_and_advantage(self, observation: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        return self.values[observation["state"]], self.logits[observation["state"]]

    def forward(self, observation: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.logits[observation["state"]]


def observed(*items: tuple[int, list[int]]) -> dict[str, np.ndarray]:
    """Observations of these states with these masks."""
    numbers, masks = zip(*items, strict=True)
    return {"state": np.array(numbers), "action_mask": np.array(masks, np.int8)}


def decisions(count: int = 64) -> Decisions:
    """In state 0 action 1 is good and action 0 bad, actions 2 and 3 are infeasible."""
    action = np.arange(count) % 2
    return Decisions(
        observed(*[(0, [1, 1, 0, 0])] * count),
        action=action,
        log_probability=np.full(count, np.log(0.5), np.float32),
        advantage=(2.0 * action - 1).astype(np.float32),
        value_target=np.full(count, 0.7, np.float32),
    )


def update_of(policy: TablePolicy, chosen: OnPolicy) -> PolicyGradientUpdate:
    return PolicyGradientUpdate(policy, chosen)


@pytest.mark.parametrize("chosen", [PpoSettings(batch_size=16), A2cSettings()], ids=["ppo", "a2c"])
def test_good_actions_become_likely_and_the_value_meets_its_target(chosen: OnPolicy) -> None:
    policy = TablePolicy(1, 4)
    update = update_of(policy, chosen.model_copy(update={"learning_rate": 0.05}))
    for _ in range(5):
        metrics = update.learn(decisions(), np.random.default_rng(0), 1000)
    probabilities = masked_log_softmax(policy.logits, torch.tensor([[1, 1, 0, 0]])).exp()[0]
    assert probabilities[1] > 0.55 > 0.45 > probabilities[0]
    assert policy.logits[0, 2:].tolist() == [0.0, 0.0]
    assert 0.1 < policy.values.item() < 0.75
    assert metrics["kl"] > 0 and np.isfinite(list(metrics.values())).all()


def test_the_number_of_gradient_steps() -> None:
    """Four epochs of four batches; fewer if `most` is, or the policy has moved too far; A2C makes one."""

    def made(chosen: OnPolicy, most: int = 1000) -> int:
        update = update_of(TablePolicy(1, 4), chosen)
        update.learn(decisions(), np.random.default_rng(0), most)
        return update.updates

    assert made(PpoSettings(batch_size=16, kl_limit=None)) == 16
    assert made(PpoSettings(batch_size=16, kl_limit=None), most=5) == 5
    assert made(PpoSettings(batch_size=16, learning_rate=0.5, kl_limit=0.01)) == 2
    assert made(A2cSettings()) == 1


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (20.0, 7.0), (0.05, -3.0)])
def test_the_first_step_of_a2c_follows_the_policy_gradient(scale: float, offset: float) -> None:
    """d/d logits of -mean(A log pi) with pi = 1/2 is -+1/2 times the normalised advantage of 1."""
    policy, played = TablePolicy(1, 4), decisions()
    update = update_of(policy, A2cSettings(entropy_bonus=0.0, value_weight=0.0, grad_clip=None))
    update.learn(played._replace(advantage=scale * played.advantage + offset), np.random.default_rng(0), 1)
    assert policy.logits.grad is not None
    np.testing.assert_allclose(policy.logits.grad[0].numpy(), [0.5, -0.5, 0.0, 0.0], atol=1e-6)


@pytest.mark.parametrize("chosen", [PpoSettings(batch_size=64, epochs=1), A2cSettings()], ids=["ppo", "a2c"])
def test_the_entropy_bonus_spreads_the_policy(chosen: OnPolicy) -> None:
    """Where every action is as good: d/d logit_i of -b H is b p_i (log p_i + H), here with p = (3/4, 1/4)."""
    policy = TablePolicy(1, 4)
    with torch.no_grad():
        policy.logits[0] = torch.tensor([np.log(3.0), 0.0, 9.0, 9.0])
    changes = {"entropy_bonus": 0.5, "value_weight": 0.0, "grad_clip": None}
    update = update_of(policy, chosen.model_copy(update=changes))
    same = decisions()._replace(advantage=np.zeros(64, np.float32))
    metrics = update.learn(same, np.random.default_rng(0), 1)
    p = np.array([0.75, 0.25])
    spread = -(p * np.log(p)).sum()
    assert metrics["entropy"] == pytest.approx(spread, rel=1e-5)
    assert policy.logits.grad is not None
    expected = [*(0.5 * p * (np.log(p) + spread)), 0.0, 0.0]
    np.testing.assert_allclose(policy.logits.grad[0].numpy(), expected, atol=1e-6)
    assert policy.logits[0, 0] < np.log(3.0) and policy.logits[0, 1] > 0


def test_the_loss_is_the_weighted_sum_of_its_parts() -> None:
    policy = TablePolicy(1, 4, value=2.0)
    update = update_of(policy, A2cSettings(entropy_bonus=0.25, value_weight=0.5))
    metrics = update.learn(decisions(), np.random.default_rng(0), 1)
    assert metrics["entropy"] == pytest.approx(np.log(2), rel=1e-5)
    parts = metrics["policy_loss"] + 0.5 * metrics["value_loss"] - 0.25 * metrics["entropy"]
    assert metrics["loss"] == pytest.approx(parts, rel=1e-5)


def sac_batch() -> Batch:
    """State 0, action 1, return 1, then state 1 (discount 1/2); and a terminal one of return 3."""
    return Batch(
        observed((0, [1, 1, 1, 1]), (0, [1, 1, 1, 1])),
        np.array([1, 0]),
        np.array([1.0, 3.0], np.float32),
        np.array([0.5, 0.0], np.float32),
        observed((1, [1, 1, 0, 0]), (0, [1, 0, 0, 0])),
    )


def sac(**changes: Any) -> SacUpdate:
    networks = [TablePolicy(2, 4) for _ in range(3)]
    with torch.no_grad():
        networks[1].logits[1] = torch.tensor([4.0, 8.0, 1000.0, 0.0])
        networks[2].logits[1] = torch.tensor([6.0, 2.0, 1000.0, 0.0])
    chosen = SacSettings(**({"initial_temperature": 2.0, "grad_clip": None} | changes))
    return SacUpdate(networks[0], (networks[1], networks[2]), chosen)


def test_the_sac_target_by_hand() -> None:
    """V = (4 + 2)/2 + 2 log 2 by the smaller of the critics; targets 1 + V/2 and 3; all Q(s, a) are 0."""
    metrics = sac().update(sac_batch())
    value = 3 + 2 * np.log(2)
    assert metrics["loss"] == pytest.approx(2 * ((1 + value / 2) ** 2 + 9) / 2, rel=1e-5)
    assert metrics["entropy"] == pytest.approx(np.log(2) / 2, rel=1e-5)
    assert metrics["temperature"] == pytest.approx(2.0)


def test_one_sac_step_moves_everything_the_right_way() -> None:
    update = sac(target_entropy=0.5, target_update_rate=0.25, learning_rate=0.1)
    before = copy.deepcopy(update.targets.state_dict())
    update.update(sac_batch())
    # In state 1 min(Q1, Q2) is (4, 2): action 0 becomes likelier; entropy log 2 exceeds half of it.
    policy = update.network.logits
    assert policy[1, 0] > 0 > policy[1, 1] and policy[1, 2:].tolist() == [0.0, 0.0]
    assert update.log_temperature.item() < np.log(2)
    assert update.critics[0].logits[0, 1] > 0 and update.critics[0].logits[0, 0] > 0
    for name, old in before.items():
        new, critic = update.targets.state_dict()[name], update.critics.state_dict()[name]
        torch.testing.assert_close(new, old + 0.25 * (critic - old))


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.tolist() if isinstance(value, torch.Tensor) else value


def test_sac_continues_exactly() -> None:
    whole, first, second = sac(), sac(), sac()
    for update in (whole, first):
        update.update(sac_batch())
    state, weights = first.state_dict(), copy.deepcopy(first.network.state_dict())
    first.update(sac_batch())  # must not reach into the state that was handed out
    second.load_state_dict(state)
    second.network.load_state_dict(weights)
    assert whole.update(sac_batch()) == second.update(sac_batch())
    assert plain(whole.state_dict()) == plain(second.state_dict())


@pytest.mark.parametrize(
    ("section", "keys", "message"),
    [
        (PpoSettings, {"lanes": 10, "episodes_per_start": 4}, "must divide lanes"),
        (PpoSettings, {"clip": 0}, "clip: "),
        (A2cSettings, {"epochs": 2}, "epochs: unknown key"),
        (SacSettings, {"discount": 1.1}, "discount: "),
        (SacSettings, {"learning_rat": 0.1}, "did you mean learning_rate"),
    ],
)
def test_bad_settings(section: Any, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        section(**keys)
    assert message in str(user_error(caught.value))
