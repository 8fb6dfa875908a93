"""The compiled gradients of SPANE, beside torch's."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_networks import ALL, spane_options, with_random_biases
from torch import Tensor, nn

from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.learning.algorithms import DqnSettings, ImitatingDqnSettings
from spane_rllib.learning.batch import Batch
from spane_rllib.learning.begin import begin_run
from spane_rllib.learning.dqn import DqnUpdate
from spane_rllib.learning.replay_runs import DqnRun
from spane_rllib.problems.vm_scheduling.networks.gradients import (
    MOST_WEIGHTS,
    CompiledSpane,
    for_gradients,
)
from spane_rllib.problems.vm_scheduling.networks.options import SpaneOptions
from spane_rllib.problems.vm_scheduling.networks.registry import build_network
from spane_rllib.problems.vm_scheduling.networks.spane import SpaneNetwork
from spane_rllib.problems.vm_scheduling.simulator import Cluster, Workload
from spane_rllib.problems.vm_scheduling.waits.algorithms import DqnSettings as WaitSettings
from spane_rllib.problems.vm_scheduling.waits.rollouts import WaitRollouts


def network_of(chosen: dict[str, Any], servers: int, seed: int, features: int = 4) -> nn.Module:
    return with_random_biases(build_network("spane", chosen, servers, seed, features), seed)


def observed(rows: int, servers: int, seed: int, features: int = 4) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    states = torch.rand(rows, servers, 2, features // 2, generator=generator)
    return {"servers": states, "request": torch.rand(rows, 3, generator=generator)}


def in_doubles(network: nn.Module, observation: dict[str, Tensor]) -> tuple[nn.Module, dict[str, Tensor]]:
    exact = {name: values.double() for name, values in observation.items()}
    return copy.deepcopy(network).double(), exact


def distance_to_a_kink(network: nn.Module, observation: dict[str, Tensor]) -> float:
    """How near a ReLU's input is to 0, the largest server to the next, or (a tenth) a deviation to 0.

    There gradients jump, or magnify rounding.
    """
    network, exact = in_doubles(network, observation)
    found: list[Tensor] = []

    def see_input(_module: nn.Module, given: tuple[Tensor, ...]) -> None:
        found.append(given[0].abs())

    def see_servers(_module: nn.Module, _given: Any, embedding: Tensor) -> None:
        gap = embedding.amax(dim=1, keepdim=True) - embedding
        spread = embedding.std(dim=1, correction=0) / 10
        found.extend((gap[gap > 0], spread[spread > 0]))  # equal ones are equal in any precision

    network.server.register_forward_hook(see_servers)  # type: ignore[union-attr]
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_pre_hook(see_input)
    with torch.no_grad():
        network(exact)
    return min((float(values.min()) for values in found if values.numel()), default=1.0)


def assert_equal_to_torch(network: nn.Module, observation: dict[str, Tensor], seed: int = 0) -> None:
    """Torch computes with doubles: the deviation of equal servers is then 0, and no remainder of rounding."""
    plain, exact = in_doubles(network, observation)
    fast = for_gradients(network)
    assert isinstance(fast, CompiledSpane)
    expected, q = plain(exact), fast(observation)
    torch.testing.assert_close(q.double(), expected, rtol=1e-4, atol=1e-5)
    weighting = torch.randn(q.shape, generator=torch.Generator().manual_seed(seed))
    slopes = torch.autograd.grad((expected * weighting.double()).sum(), list(plain.parameters()))
    wanted = nn.utils.parameters_to_vector(slopes).float()
    [flat] = torch.autograd.grad((q * weighting).sum(), list(fast.parameters()))
    torch.testing.assert_close(flat, wanted, rtol=0, atol=1e-3 * max(1.0, float(wanted.abs().max())))


@settings(max_examples=100, derandomize=True)
@given(
    spane_options(12, 3), st.integers(1, 9), st.integers(1, 20), st.sampled_from([4, 8]), st.integers(0, 1000)
)
def test_equal_to_torch(chosen: dict[str, Any], servers: int, rows: int, features: int, seed: int) -> None:
    network = network_of(chosen, servers, seed, features)
    observation = observed(rows, servers, seed, features)
    assume(distance_to_a_kink(network, observation) > 1e-5)
    assert_equal_to_torch(network, observation, seed)


@pytest.mark.parametrize("encoder_output", ["linear", "relu"])
def test_equal_servers_share_the_gradient_of_the_largest(encoder_output: str) -> None:
    observation = observed(rows=20, servers=4, seed=1)
    observation["servers"][:, 1] = observation["servers"][:, 0]
    chosen = {"aggregations": ["max"], "encoder_output": encoder_output}
    assert_equal_to_torch(network_of(chosen, 4, seed=2), observation)


def test_all_servers_equal() -> None:
    observation = observed(rows=20, servers=6, seed=1)
    observation["servers"][:] = observation["servers"][:, :1]
    assert_equal_to_torch(network_of(ALL, 6, seed=2), observation)


def test_one_server_has_no_deviation_and_no_gradient_of_it() -> None:
    assert_equal_to_torch(network_of(ALL, 1, seed=3), observed(rows=5, servers=1, seed=3))


def test_no_rows() -> None:
    network = network_of({}, 3, seed=0)
    fast = for_gradients(network)
    q = fast(observed(rows=0, servers=3, seed=0))
    assert q.shape == (0, 6)
    [gradient] = torch.autograd.grad(q.sum(), list(fast.parameters()))
    assert not gradient.any()


def transitions(rows: int, seed: int) -> Batch:
    random = np.random.default_rng(seed)

    def observation(at: int) -> dict[str, Any]:
        arrays: dict[str, Any] = {name: values.numpy() for name, values in observed(rows, 5, at).items()}
        mask = random.integers(0, 2, (rows, 10))
        mask[:, 0] = 1
        return arrays | {"action_mask": mask.astype(np.int8)}

    before = observation(seed)
    action = np.array([random.choice(np.flatnonzero(mask)) for mask in before["action_mask"]])
    returns, discount = random.random(rows, np.float32), random.random(rows, np.float32)
    return Batch(before, action, returns, discount, observation(seed + 1))


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"double_q": False, "loss": "huber"},
        {"grad_clip": 0.1, "imitation_weight": 0.3, "imitate": "keep-64"},
    ],
    ids=["double", "huber", "clipped and imitating"],
)
def test_gradient_steps_are_those_of_torch(chosen: dict[str, Any]) -> None:
    def make(compiled: bool) -> DqnUpdate:
        return DqnUpdate(
            network_of(ALL, 5, seed=4),
            ImitatingDqnSettings(target_sync_every=3, **chosen),
            for_gradients=for_gradients if compiled else None,
        )

    fast, plain = make(True), make(False)
    assert isinstance(fast.values, CompiledSpane) and plain.values is plain.network
    for step in range(10):
        batch = transitions(rows=50, seed=2 * step)
        demonstrated = batch if "imitation_weight" in chosen else None
        expected = plain.update(batch, demonstrated)
        assert fast.update(batch, demonstrated) == pytest.approx(expected, rel=1e-3)
    for one, other in zip(fast.network.parameters(), plain.network.parameters(), strict=True):
        # Adam makes steps of the learning rate out of the smallest gradients.
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


class Alone(nn.Module):
    """Compiled Q-values without the compiled loss."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.values = for_gradients(network)

    def forward(self, observation: Mapping[str, Tensor]) -> Tensor:
        q: Tensor = self.values(observation)
        return q


@pytest.mark.parametrize("loss", ["mse", "huber"])
@pytest.mark.parametrize("double_q", [True, False])
@pytest.mark.parametrize("mask_bootstrap", [True, False])
def test_the_compiled_loss_is_that_of_autograd_bit_for_bit(
    loss: Literal["mse", "huber"], double_q: bool, mask_bootstrap: bool
) -> None:
    chosen = DqnSettings(
        loss=loss, double_q=double_q, mask_bootstrap=mask_bootstrap, target_sync_every=2, learning_rate=0.05
    )
    fast, plain = (
        DqnUpdate(network_of(ALL, 5, seed=4), chosen, for_gradients=faster)
        for faster in (for_gradients, Alone)
    )
    for step in range(5):
        batch = transitions(rows=37, seed=2 * step)
        batch.n_step_return[:9] = [-9, -3, -1, -0.5, 0, 0.5, 1, 3, 9]
        batch.next_observation["action_mask"][:4] = 0  # episodes that have ended
        batch.next_observation["action_mask"][4:8, 0] = 0
        batch.discount[:8] = 0
        assert fast.update(batch) == pytest.approx(plain.update(batch), rel=1e-6)
        for one, other in zip(fast.network.parameters(), plain.network.parameters(), strict=True):
            assert torch.equal(one, other)


def test_a_saved_update_goes_on_exactly() -> None:
    def make(seed: int) -> DqnUpdate:
        settings = DqnSettings(target_sync_every=3)
        return DqnUpdate(network_of(ALL, 5, seed), settings, for_gradients=for_gradients)

    whole, begun, continued = make(1), make(1), make(2)
    batches = [transitions(rows=30, seed=2 * step) for step in range(8)]
    for batch in batches:
        whole.update(batch)
    for batch in batches[:4]:
        begun.update(batch)
    continued.load_state_dict(begun.state_dict())
    for batch in batches[4:]:
        continued.update(batch)
    for one, other in zip(whole.network.parameters(), continued.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_weights_are_the_networks_own() -> None:
    network, other = network_of({}, 3, seed=1), network_of({}, 3, seed=2)
    fast, observation = for_gradients(network), observed(rows=4, servers=3, seed=0)
    network.load_state_dict(other.state_dict())
    torch.testing.assert_close(fast(observation), other(observation))
    with torch.no_grad():
        next(fast.parameters()).zero_()
    assert not any(parameter.any() for parameter in network.parameters())


def test_replaced_weights_are_noticed() -> None:
    network = network_of({}, 3, seed=1)
    fast = for_gradients(network)
    network.to(torch.float64)
    with pytest.raises(RuntimeError, match="have been replaced"):
        fast(observed(rows=4, servers=3, seed=0))


def test_servers_with_other_features_are_refused() -> None:
    fast = for_gradients(network_of({}, 3, seed=1))
    with pytest.raises(ValueError, match="a server has 4 features"):
        fast(observed(rows=2, servers=3, seed=0, features=8))


def test_networks_without_compiled_gradients_stay_themselves() -> None:
    class Own(SpaneNetwork):
        pass

    wide = build_network("spane", {"server_width": 200}, 3, 0)
    assert sum(parameter.numel() for parameter in wide.parameters()) > MOST_WEIGHTS
    double = build_network("spane", {}, 3, 0).to(torch.float64)
    for network in (Own(SpaneOptions()), wide, double, build_network("mlp", {}, 3, 0)):
        assert for_gradients(network) is network


@pytest.mark.parametrize("compiled", [True, False])
def test_the_setting_decides(trace: VmTrace, compiled: bool) -> None:
    settings = WaitSettings(compiled_gradients=compiled)
    cluster = Cluster(3)
    rollouts = WaitRollouts(
        Workload(trace, cluster), cluster, (0, 250), settings, np.array([250, 260]), trim=0.1
    )
    run = begin_run(network_of({}, 3, seed=1), settings, rollouts, every=10, seed=0)
    assert isinstance(run, DqnRun) and isinstance(run._update.values, CompiledSpane) == compiled
