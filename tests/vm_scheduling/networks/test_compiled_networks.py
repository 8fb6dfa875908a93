from itertools import combinations

import numpy as np
import pytest
import torch
from calling import from_python
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from random_networks import ALL, spane_options, with_random_biases

from spane_rllib.core.errors import UserError
from spane_rllib.problems.vm_scheduling.networks.compiled import CompiledQNetwork
from spane_rllib.problems.vm_scheduling.networks.kernels import row_q_values, scratch_size
from spane_rllib.problems.vm_scheduling.networks.registry import build_network

mlp_options = st.fixed_dictionaries({"width": st.integers(1, 40), "depth": st.integers(1, 5)})
networks = st.one_of(
    st.tuples(st.just("spane"), spane_options(40, 5)), st.tuples(st.just("mlp"), mlp_options)
)


def observations(rows, servers, seed=0):
    generator = np.random.default_rng(seed)
    states = generator.random((rows, servers, 2, 2), dtype=np.float32)
    return states, generator.random((rows, 3), dtype=np.float32)


def torch_q_values(network, states, request):
    with torch.no_grad():
        return network({"servers": torch.from_numpy(states), "request": torch.from_numpy(request)}).numpy()


@settings(max_examples=150)
@given(networks, st.integers(1, 12), st.integers(0, 5), st.integers(0, 1000))
def test_equal_to_torch(network, servers, rows, seed):
    network = with_random_biases(build_network(*network, servers, seed), seed)
    states, request = observations(rows, servers, seed)
    expected = torch_q_values(network, states, request)
    q = CompiledQNetwork(network).q_values(states, request)
    assert q.shape == expected.shape and q.dtype == np.float32
    assert np.abs(q - expected).max(initial=0) <= 1e-5 * max(1, np.abs(expected).max(initial=0))


@pytest.mark.parametrize("servers", range(1, 10))
@pytest.mark.parametrize("encoder_output", ["linear", "relu"])
@pytest.mark.parametrize("standard_deviation", ["sample", "population"])
def test_equal_to_torch_for_every_form_of_spane(servers, encoder_output, standard_deviation):
    names = ("mean", "max", "std")
    for aggregations in (subset for size in (1, 2, 3) for subset in combinations(names, size)):
        options = {
            "aggregations": aggregations,
            "encoder_output": encoder_output,
            "standard_deviation": standard_deviation,
        }
        network = with_random_biases(build_network("spane", options, 5, seed=servers), servers)
        states, request = observations(20, servers, seed=servers)
        states[0] = states[0, 0]  # equal servers
        q = CompiledQNetwork(network).q_values(states, request)
        np.testing.assert_allclose(q, torch_q_values(network, states, request), atol=1e-5, rtol=0)


@pytest.mark.parametrize("options", [{}, ALL])
def test_equal_to_torch_for_a_large_cluster(options):
    network = build_network("spane", options, 5, 0)
    states, request = observations(3, 1000)
    q = CompiledQNetwork(network).q_values(states, request)
    np.testing.assert_allclose(q, torch_q_values(network, states, request), atol=1e-5)


@pytest.mark.parametrize(("kind", "options"), [("spane", ALL), ("mlp", {})])
def test_a_row_does_not_depend_on_its_batch(kind, options):
    compiled = CompiledQNetwork(build_network(kind, options, 7, 0))
    states, request = observations(23, 7)
    whole = compiled.q_values(states, request)
    for rows in (slice(0, 1), slice(4, 5), slice(9, 20), slice(22, 23)):
        assert np.array_equal(compiled.q_values(states[rows], request[rows]), whole[rows])


def test_refresh_takes_over_new_weights_in_place():
    network = build_network("spane", {}, 5, 0)
    compiled = CompiledQNetwork(network)
    states, request = observations(4, 5)
    before, weights = compiled.q_values(states, request), compiled.packed.weights
    network.load_state_dict(build_network("spane", {}, 5, 1).state_dict())
    assert np.array_equal(compiled.q_values(states, request), before)
    compiled.refresh()
    assert compiled.packed.weights is weights
    np.testing.assert_allclose(
        compiled.q_values(states, request), torch_q_values(network, states, request), atol=1e-5
    )


@settings(max_examples=50)
@given(st.integers(1, 6), st.integers(0, 1000), st.floats(0, 1))
def test_greedy_actions_are_the_best_feasible_ones(servers, seed, share):
    compiled = CompiledQNetwork(build_network("spane", {}, servers, seed))
    states, request = observations(16, servers, seed)
    mask = np.random.default_rng(seed).random((16, 2 * servers)) < share
    q = np.where(mask, compiled.q_values(states, request), -np.inf)
    expected = np.where(mask.any(axis=1), q.argmax(axis=1), -1)
    out = np.empty(16, dtype=np.int64)
    assert compiled.greedy_actions(states, request, mask.astype(np.int8), out) is out
    assert np.array_equal(out, expected)
    assert np.array_equal(compiled.greedy_actions(states, request, mask), expected)


def test_the_first_of_equal_actions_is_chosen():
    compiled = CompiledQNetwork(build_network("spane", {}, 4, 0))
    states, request = np.full((1, 4, 2, 2), 0.5, dtype=np.float32), np.ones((1, 3), dtype=np.float32)
    q = compiled.q_values(states, request)[0].reshape(4, 2)
    assert (q == q[0]).all() and q[0, 0] != q[0, 1]  # equal servers, unequal nodes
    better = int(q[0].argmax())
    mask = np.ones((1, 8), dtype=np.int8)
    mask[0, better] = 0
    assert compiled.greedy_actions(states, request, mask)[0] == 2 + better


def test_rows_can_be_computed_inside_other_compiled_code():
    @njit
    def best_value(weights, layout, servers, request):
        q = np.empty(len(servers) // 2, dtype=np.float32)
        scratch = np.empty(scratch_size(layout, len(servers) // 4), dtype=np.float32)
        row_q_values(weights, layout, servers, request, scratch, q)
        return q.max()

    for kind in ("spane", "mlp"):
        compiled = CompiledQNetwork(build_network(kind, {}, 6, 0))
        states, request = observations(1, 6)
        found = best_value(compiled.packed.weights, compiled.packed.layout, states.ravel(), request.ravel())
        assert found == compiled.q_values(states, request).max()


@pytest.mark.parametrize("kind", ["spane", "mlp"])
@pytest.mark.parametrize("servers", [1, 2, 9])
def test_scratch_is_large_enough(kind, servers):
    options = {"server_width": 9, "value_depth": 3, "advantage_width": 3, **ALL} if kind == "spane" else {}
    packed = CompiledQNetwork(build_network(kind, options, servers, 0)).packed
    states, request = observations(1, servers)
    size, guard = scratch_size(packed.layout, servers), np.float32(12345)
    values = np.full(size + 64, guard)
    q = np.full(2 * servers + 64, guard)
    from_python(row_q_values)(
        packed.weights, packed.layout, states.ravel(), request.ravel(), values[:size], q[: 2 * servers]
    )
    assert (values[size:] == guard).all() and (q[2 * servers :] == guard).all()


def test_inputs_of_other_types_give_the_same_result():
    compiled = CompiledQNetwork(build_network("spane", {}, 5, 0))
    states, request = observations(3, 5)
    expected = compiled.q_values(states, request)
    frozen = states.copy()
    frozen.flags.writeable = False
    for given_states in (states.astype(np.float64), np.asfortranarray(states), frozen, states.tolist()):
        assert np.array_equal(compiled.q_values(given_states, request), expected)


def test_wrong_shapes_are_refused():
    compiled = CompiledQNetwork(build_network("mlp", {}, 5, 0))
    states, request = observations(2, 5)
    with pytest.raises(UserError, match="takes 5 servers, got 4"):
        compiled.q_values(*observations(2, 4))
    for bad_states, bad_request in ((states[0], request), (states, request[:1]), (states, request[:, :2])):
        with pytest.raises(ValueError, match="servers must be"):
            compiled.q_values(bad_states, bad_request)
    with pytest.raises(ValueError, match="action_mask must be"):
        compiled.greedy_actions(states, request, np.ones((2, 9), dtype=np.int8))
    for out in (np.empty((2, 9), np.float32), np.empty((2, 10)), np.empty((10, 2), np.float32).T):
        with pytest.raises(ValueError, match="out must be"):
            compiled.q_values(states, request, out)
