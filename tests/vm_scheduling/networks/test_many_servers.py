"""Embedding the servers that have changed gives the Q-values of embedding all of them, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from calling import from_python
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import ALL, spane_options, with_random_biases

from spane_rllib.problems.vm_scheduling.networks import many_servers
from spane_rllib.problems.vm_scheduling.networks.compiled import CompiledQNetwork
from spane_rllib.problems.vm_scheduling.networks.many_servers import LANES, SLOTS, EmbeddedServers
from spane_rllib.problems.vm_scheduling.networks.registry import build_network

_embed, _advantages = from_python(many_servers.embed), from_python(many_servers.advantages)
_slots_above = from_python(many_servers.slots_above)
_slots_with = from_python(many_servers.slots_with)


def assert_same_q_values(options: dict[str, Any], servers: int, seed: int, features: int = 4) -> None:
    """After each of some changes of a few servers, some of which change to what they were."""
    network = with_random_biases(build_network("spane", options, servers, seed, features), seed)
    compiled, random = CompiledQNetwork(network), np.random.default_rng(seed)
    weights, layout = compiled.packed.weights, compiled.packed.layout
    embedded = EmbeddedServers.empty(layout, servers)
    states = random.random((servers, 2, features // 2), dtype=np.float32)
    changed = np.arange(servers)
    for _ in range(4):
        for server in changed:
            _embed(weights, layout, states[server], embedded, server)
        request = random.random(3, dtype=np.float32)
        baseline = _advantages(weights, layout, request, embedded, 2 * servers)
        q = embedded.advantages[: 2 * servers] + np.float32(baseline)
        np.testing.assert_array_equal(q, compiled.q_values(states[None], request[None])[0])
        changed = random.integers(0, servers, 3)
        states[changed] = states[random.integers(0, servers, 3)]


@settings(max_examples=60, deadline=None)
@given(spane_options(20, 4), st.integers(1, 3 * LANES), st.integers(0, 1000))
def test_any_network(options: dict[str, Any], servers: int, seed: int) -> None:
    assert_same_q_values(options, servers, seed)


@pytest.mark.parametrize("options", [{}, ALL])
def test_many_servers_that_show_their_sizes(options: dict[str, Any]) -> None:
    assert_same_q_values(options, 300, seed=1, features=8)


def test_what_is_computed_stays_within_its_arrays() -> None:
    options = {"server_width": 9, "server_depth": 3, "value_depth": 3, "advantage_width": 3, **ALL}
    compiled = CompiledQNetwork(build_network("spane", options, 20, 0, 8))
    weights, layout = compiled.packed.weights, compiled.packed.layout
    sizes = [array.size for array in EmbeddedServers.empty(layout, 20)]
    guarded = [np.full(size + 64, 12345, np.float32) for size in sizes]
    embedded = EmbeddedServers(*(array[:size] for array, size in zip(guarded, sizes, strict=True)))
    for array in embedded:
        array[:] = 0
    for server in range(20):
        _embed(weights, layout, np.ones((2, 4), np.float32), embedded, server)
    _advantages(weights, layout, np.ones(3, np.float32), embedded, 40)
    for array, size in zip(guarded, sizes, strict=True):
        assert (array[size:] == 12345).all()


@settings(deadline=None)
@given(st.integers(0, 1000))
def test_bits_of_slots(seed: int) -> None:
    random = np.random.default_rng(seed)
    values, free = random.random(SLOTS + 5, dtype=np.float32), random.integers(0, 4, 2 * SLOTS + 9, np.int32)

    def bits(flags: Any) -> int:
        return sum(1 << slot for slot, flag in enumerate(flags) if flag)

    baseline, best = np.float32(random.normal()), np.float32(random.normal())
    for limit in (best, values[9] + baseline):  # equal is not above
        expected = bits(values[5:] + baseline > limit)
        assert _slots_above(values, 5, baseline, limit) == expected
    cpu, memory = (np.int32(number) for number in random.integers(0, 4, 2))
    expected = bits((free[2 : 2 + SLOTS] >= cpu) & (free[-SLOTS:] >= memory))
    assert _slots_with(free, 2, SLOTS + 9, cpu, memory) == expected
