"""The two-stage policies: joint probabilities, masks, any size, imitation and a step of PPO."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spane_rllib.core.errors import UserError
from spane_rllib.problems.vm_rescheduling.environment.env import VMReschedulingEnv
from spane_rllib.problems.vm_rescheduling.mappings.synthetic import generate
from spane_rllib.problems.vm_rescheduling.planners.names import planner
from spane_rllib.problems.vm_rescheduling.planners.planner import Request
from spane_rllib.problems.vm_rescheduling.problem import VM_RESCHEDULING
from spane_rllib.problems.vm_rescheduling.simulator.simulation import Simulation
from spane_rllib.problems.vm_rescheduling.task import RescheduleTask

KINDS = ["sparse", "attention"]
SIZES = {"width": 16, "feed_forward": 16}


@pytest.fixture(scope="module")
def task() -> RescheduleTask:
    return VM_RESCHEDULING.load(
        VM_RESCHEDULING.instance(mappings="affinity", machines=6, migrations=5)  # type: ignore[call-arg]
    )


def batch(copies: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
    observation, _ = VMReschedulingEnv("affinity", 6, 5).reset(seed=seed)
    return {name: torch.from_numpy(np.stack([values] * copies)) for name, values in observation.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_joint_probabilities_sum_to_one(kind: str, task: RescheduleTask) -> None:
    network: Any = task.build_network(kind, SIZES, 0).eval()
    observation = batch()
    rows, slots = observation["host"].shape[1], 2 * observation["free"].shape[1]
    actions = torch.tensor([[vm, slot // 2, slot % 2] for vm in range(rows) for slot in range(slots)])
    wide = {name: values.expand(len(actions), *values.shape[1:]) for name, values in observation.items()}
    with torch.no_grad():
        joint, entropy, value = network.evaluate(wide, actions)
        drawn, log_probability = network.sample(batch(64), torch.Generator().manual_seed(0))
        again, _, _ = network.evaluate(batch(64), drawn)
        greedy = network.greedy(observation)
    assert joint.exp().sum() == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(again, log_probability)
    assert entropy.isfinite().all()
    assert value.isfinite().all()
    env = VMReschedulingEnv("affinity", 6, 5)
    env.reset(seed=0)
    for vm, machine, node in [*drawn.tolist(), *greedy.tolist()]:
        assert env.target_mask(vm)[machine, node]


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing(kind: str, task: RescheduleTask) -> None:
    network: Any = task.build_network(kind, SIZES, 0).eval()
    observation, _ = VMReschedulingEnv("high", 8, 5).reset(seed=2)
    wider, _ = VMReschedulingEnv("high", 8, 5, vms=120).reset(seed=2)
    seen = []
    for each in (observation, wider):
        tensors = {name: torch.from_numpy(values)[None] for name, values in each.items()}
        with torch.no_grad():
            logits, value, _ = network.encode(tensors)
        count = int((each["host"] >= 0).sum())
        seen.append((logits[:, :count], value))
    torch.testing.assert_close(seen[0][0], seen[1][0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(seen[0][1], seen[1][1], rtol=1e-4, atol=1e-5)


def test_quantiles_leave_the_likely_actions(task: RescheduleTask) -> None:
    network: Any = task.build_network("sparse", SIZES, 0).eval()
    with torch.no_grad():
        drawn, _ = network.sample(batch(64), torch.Generator().manual_seed(0), (0.98, 0.95))
        logits, _, _ = network.encode(batch())
    likely = logits[0].masked_fill(batch()["action_mask"][0] == 0, -torch.inf).topk(4).indices
    assert set(drawn[:, 0].tolist()) <= set(likely.tolist())


@pytest.mark.parametrize("imitate", ["search", None])
def test_training_saving_and_planning(imitate: str | None, task: RescheduleTask, tmp_path: Path) -> None:
    """A run imitates, makes gradient steps and validates; its model plans for larger mappings."""
    settings = VM_RESCHEDULING.algorithms["ppo"](
        imitate=imitate,
        imitation_maps=4,
        imitation_steps=30,
        gradient_steps=2,
        lanes=4,
        episodes_per_start=4,
        epochs=1,
        batch_size=10,
    )
    weights = []
    for _ in range(2):
        network = task.build_network("sparse", SIZES, 1)
        run = task.begin_run(network, settings, VM_RESCHEDULING.validation(episodes=2, every=2), 1)
        metrics = run.run_until(2)
        weights.append(network.state_dict())
    assert metrics["gradient_steps"] == 2
    assert 0 <= metrics["validation_fragment_rate"] <= 1
    assert ("imitation_loss" in metrics) == (imitate is not None)
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    task.save_model(tmp_path / "model", network, seed=1, metrics={}, training={})
    policy = task.load_policy(str(tmp_path / "model"))
    mapping = generate("high", 6200, 14)
    request = Request(mapping, 6, 1.0)
    plan = policy.plan(request).plan
    simulation = request.simulation()
    simulation.check(plan)
    assert len(plan) <= 6


def test_baselines_plan_for_the_mappings_of_validation(task: RescheduleTask) -> None:
    validation = VM_RESCHEDULING.validation(episodes=3, every=1)
    values = task.validate_baselines(["ha", "random"], validation)
    numbers = task.mappings.draw("validation", 3, validation.seed)
    before = [Simulation(task.mappings[number]).value for number in numbers.tolist()]
    after = []
    for number in numbers.tolist():
        simulation = Simulation(task.mappings[number])
        for move in planner("ha")(Request(simulation.mapping, 5)).plan.tolist():
            simulation.migrate(*move)
        after.append(simulation.value)
    assert values["ha"] == np.mean(after) < np.mean(before)
    assert list(values) == ["ha", "random"] and values["random"] != values["ha"]


def test_imitation_learns(task: RescheduleTask) -> None:
    from spane_rllib.problems.vm_rescheduling.training import ImitatingRun

    settings = VM_RESCHEDULING.algorithms["ppo"](
        imitate="search", imitation_maps=6, imitation_steps=1, lanes=4, episodes_per_start=4
    )
    losses = []
    for steps in (1, 120):
        run = task.begin_run(
            task.build_network("sparse", SIZES, 0),
            settings.model_copy(update={"imitation_steps": steps}),
            VM_RESCHEDULING.validation(episodes=1),
            0,
        )
        assert isinstance(run, ImitatingRun)
        losses.append(run._imitate())
    assert losses[1] < losses[0] - 1.0


def test_policies_that_are_none(task: RescheduleTask, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither a planner"):
        task.load_policy("best")
    with pytest.raises(UserError):
        task.load_policy(str(tmp_path))
    with pytest.raises(UserError, match="unknown network kind"):
        task.build_network("dense", {}, 0)
