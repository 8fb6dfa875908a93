"""Updates run where the network is: all that they are given is moved there first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from spane_rllib.learning import algorithms
from spane_rllib.learning.batch import Batch
from spane_rllib.learning.dqn import DqnUpdate
from spane_rllib.learning.imitation import Demonstrations, decisions, imitate
from spane_rllib.learning.networks import CategoricalPolicy
from spane_rllib.learning.policy_gradient import Decisions, PolicyGradientUpdate
from spane_rllib.learning.sac import SacUpdate
from spane_rllib.learning.tensors import Tensors, on_cpu


class Network(CategoricalPolicy, nn.Module):
    """Linear, and strict about where its input is."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 3)

    def value_and_advantage(self, observation: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
        assert {tensor.device for tensor in observation.values()} == {self.layer.weight.device}
        logits = self.layer(observation["seen"])
        return logits.mean(dim=1, keepdim=True), logits

    def forward(self, observation: Tensors) -> torch.Tensor:
        return self.value_and_advantage(observation)[1]


ROWS = 12
OBSERVATION = {"seen": np.ones((ROWS, 2), np.float32), "action_mask": np.ones((ROWS, 3), np.int8)}
ACTION, ONES = np.arange(ROWS) % 3, np.ones(ROWS, np.float32)
BATCH = Batch(OBSERVATION, ACTION, ONES, ONES, OBSERVATION)


def dqn(device: str) -> dict[str, float]:
    settings = algorithms.ImitatingDqnSettings(imitate="x", imitation_weight=1.0, grad_clip=1.0)
    return DqnUpdate(Network().to(device), settings).update(BATCH, decisions(OBSERVATION, ACTION))


def sac(device: str) -> dict[str, float]:
    networks = [Network().to(device) for _ in range(3)]
    return SacUpdate(networks[0], (networks[1], networks[2]), algorithms.SacSettings()).update(BATCH)


def ppo(device: str) -> dict[str, float]:
    update = PolicyGradientUpdate(Network().to(device), algorithms.PpoSettings(batch_size=4))
    values = update.values(OBSERVATION, ACTION)
    assert values.shape == (ROWS,)
    made = Decisions(OBSERVATION, ACTION, -ONES, np.arange(ROWS, dtype=np.float32), ONES)
    return update.learn(made, np.random.default_rng(0), 10)


def imitation(device: str) -> dict[str, float]:
    demonstrations = Demonstrations(decisions(OBSERVATION, ACTION), np.random.default_rng(0))
    return {"loss": imitate(Network().to(device), demonstrations, 2, 4)}


def test_states_are_moved_to_the_cpu_whole() -> None:
    state = {"weights": {"w": torch.zeros(2, device="cpu")}, "counts": (1, [torch.ones(1)]), "name": "x"}
    moved = on_cpu(state)
    assert moved["weights"]["w"].device.type == "cpu" and type(moved["counts"]) is tuple
    assert moved["counts"][1][0].item() == 1 and moved["name"] == "x"


UPDATES = pytest.mark.parametrize("update", [dqn, sac, ppo, imitation])


@UPDATES
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_updates_on_a_gpu(update: Callable[[str], dict[str, float]]) -> None:
    assert np.isfinite(list(update("cuda").values())).all()


@UPDATES
def test_every_array_is_moved_to_the_network(
    update: Callable[[str], dict[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a GPU: no tensor that shares memory with an array may be used unless it was moved."""
    moved: list[torch.Tensor] = []
    made: list[torch.Tensor] = []
    from_numpy = torch.from_numpy

    class Waiting:
        """A tensor that must be moved before anything else is done with it."""

        def __init__(self, tensor: torch.Tensor) -> None:
            self._tensor = tensor
            made.append(tensor)

        def to(self, device: Any) -> torch.Tensor:
            assert torch.device(device) == torch.device("cpu")
            moved.append(self._tensor)
            return self._tensor

    monkeypatch.setattr(torch, "from_numpy", lambda array: Waiting(from_numpy(array)))
    assert np.isfinite(list(update("cpu").values())).all()
    assert len(moved) == len(made) > 2
