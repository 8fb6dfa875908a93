"""Steps of the optimizer beside those of torch's own, and what they make a process import."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from spane_rllib.learning.imitation import _LEARNING_RATE, _falling_rates
from spane_rllib.learning.networks import with_memory
from spane_rllib.learning.steps import OptimizerSteps
from tests.time_limits import COMMAND_S


@pytest.mark.parametrize("grad_clip", [None, 0.05])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_steps_are_those_of_torch_bit_for_bit(grad_clip: float | None, weight_decay: float) -> None:
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    unused = nn.Parameter(torch.ones(2))
    ours = OptimizerSteps(
        [unused, *network.parameters()], lambda step: 0.1 / (1 + step), grad_clip, weight_decay
    )
    other = copy.deepcopy(network)
    theirs = torch.optim.Adam(other.parameters(), weight_decay=weight_decay, fused=True)
    for step in range(6):
        if step == 3:  # as after a restart
            state = copy.deepcopy(ours.state_dict())
            ours = OptimizerSteps(
                [unused, *network.parameters()], lambda step: 0.1 / (1 + step), grad_clip, weight_decay
            )
            ours.load_state_dict(state)
        rows = torch.randn(5, 3, generator=generator)
        norm, rate = ours.step(network(rows).square().mean(), step)
        theirs.zero_grad()
        other(rows).square().mean().backward()
        clipped = nn.utils.clip_grad_norm_(other.parameters(), torch.inf if grad_clip is None else grad_clip)
        theirs.param_groups[0]["lr"] = 0.1 / (1 + step)
        theirs.step()
        assert (norm.item(), rate) == (clipped.item(), 0.1 / (1 + step))
        for mine, wanted in zip(network.parameters(), other.parameters(), strict=True):
            assert torch.equal(mine, wanted)
    assert unused.tolist() == [1, 1]


@pytest.mark.parametrize("steps", [1, 2, 50])
def test_rates_of_imitation_are_those_of_torch(steps: int) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=_LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert _falling_rates(steps) == rates


def test_memory_is_given_to_all_parts_of_a_network() -> None:
    with torch.device("meta"):
        network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    network[0].bias.requires_grad_(False)
    shapes = {name: (values.shape, values.dtype) for name, values in network.state_dict().items()}
    assert with_memory(network) is network
    assert {name: (values.shape, values.dtype) for name, values in network.state_dict().items()} == shapes
    assert all(values.device.type == "cpu" for values in network.state_dict().values())
    assert [weight.requires_grad for weight in network.parameters()] == [True, False, True, True]


TRIAL = """
import sys
from spane_rllib.rllib.algorithm import SchedulingConfig

training = dict(gradient_steps=2, warmup_episodes=1, batch_size=8, imitate="sbf", imitation_steps=2)
config = SchedulingConfig().environment(env_config={"trace": "synthetic"}).training(**training)
algorithm = config.validation(episodes=1).build_algo()
algorithm.train()
algorithm.save(sys.argv[1])
print("imported:", sorted({"torch._dynamo", "sympy"} & sys.modules.keys()))
"""


@pytest.mark.slow
def test_a_trial_imports_no_compiler_of_torch(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TRIAL, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, check=True)
    assert done.stdout.splitlines()[-1] == "imported: []"
