import numpy as np
import pytest
import torch

from spane_rllib.core.errors import UserError
from spane_rllib.problems.vm_scheduling.networks.registry import build_network

ALL = {"aggregations": ["mean", "max", "std"]}
DEEP = {"server_depth": 3, "value_depth": 2, "advantage_depth": 3, "server_width": 5, "advantage_width": 7}


def observations(servers, rows=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.rand(rows, servers, 2, 2, generator=generator),
        torch.rand(rows, 3, generator=generator),
    )


def seen(states, request):
    return {"servers": states, "request": request}


def permute_slots(q, order):
    return q.reshape(len(q), -1, 2)[:, order].flatten(1)


def test_spane_has_the_published_size():
    network = build_network("spane", {}, 5, 0)
    assert sum(parameter.numel() for parameter in network.parameters()) == 571


@pytest.mark.parametrize("options", [{}, ALL, ALL | DEEP])
@pytest.mark.parametrize("servers", [1, 2, 5, 33])
def test_spane_is_equivariant_to_server_permutations(options, servers):
    network = build_network("spane", options, 5, seed=3)
    states, request = observations(servers)
    order = torch.from_numpy(np.random.default_rng(0).permutation(servers))
    q = network(seen(states, request))
    assert q.shape == (6, 2 * servers)
    torch.testing.assert_close(
        network(seen(states[:, order], request)), permute_slots(q, order), atol=1e-6, rtol=0
    )


def test_spane_learns_the_same_from_permuted_data():
    states, request = observations(5, rows=32)
    actions = torch.arange(32) % 10
    order = torch.tensor([3, 0, 4, 1, 2])
    new_place = torch.argsort(order)
    weights = []
    for inputs, chosen in (
        (states, actions),
        (states[:, order], 2 * new_place[actions // 2] + actions % 2),
    ):
        network = build_network("spane", ALL, 5, seed=1)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        before = torch.nn.utils.parameters_to_vector(network.parameters()).detach().clone()
        network(seen(inputs, request)).gather(1, chosen[:, None]).square().mean().backward()
        optimizer.step()
        weights.append(torch.nn.utils.parameters_to_vector(network.parameters()).detach())
        assert (weights[-1] - before).abs().max() > 1e-3  # the step did something
    torch.testing.assert_close(weights[0], weights[1], atol=1e-6, rtol=0)


def test_mlp_is_not_equivariant():
    network = build_network("mlp", {}, 5, seed=0)
    states, request = observations(5)
    order = torch.tensor([1, 0, 2, 3, 4])
    difference = network(seen(states[:, order], request)) - permute_slots(
        network(seen(states, request)), order
    )
    assert difference.abs().max() > 1e-2


def test_swapping_the_nodes_of_a_server_is_not_a_symmetry_of_spane():
    network = build_network("spane", {}, 5, seed=0)
    states, request = observations(5)
    swapped = network(seen(states.flip(2), request)).reshape(6, 5, 2).flip(2).flatten(1)
    assert (swapped - network(seen(states, request))).abs().max() > 1e-2


def spane_value(network, states, request):
    embedding = network.server(states.flatten(2))
    parts = {
        "mean": embedding.mean(1),
        "max": embedding.amax(1),
        "std": embedding.std(1, correction=network.correction),
    }
    return network.value(torch.cat([parts[name] for name in network.aggregations] + [request], 1))


def mlp_value(network, states, request):
    return network.value(network.trunk(torch.cat([states.flatten(1), request], 1)))


@pytest.mark.parametrize(
    ("kind", "options", "value"),
    [("spane", ALL, spane_value), ("spane", {}, spane_value), ("mlp", {}, mlp_value)],
)
def test_the_mean_over_the_slots_is_the_value(kind, options, value):
    network = build_network(kind, options, 4, seed=2)
    states, request = observations(4)
    torch.testing.assert_close(
        network(seen(states, request)).mean(1, keepdim=True),
        value(network, states, request),
        atol=1e-6,
        rtol=0,
    )


@pytest.mark.parametrize(("standard_deviation", "spread"), [("population", 1), ("sample", 2**0.5)])
@pytest.mark.parametrize(
    ("encoder_output", "scale", "rest"),
    [("relu", 1, [53.0, 40.0, 51.0, 46.0]), ("linear", 1.15, [52.55, 39.55, 50.25, 46.45])],
)
def test_spane_forward_by_hand(encoder_output, standard_deviation, spread, scale, rest):
    options = {"server_width": 1, "server_depth": 1, "value_width": 1, "advantage_width": 1} | ALL
    options |= {"encoder_output": encoder_output, "standard_deviation": standard_deviation}
    network = build_network("spane", options, servers=2, seed=0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.server[0].weight.copy_(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
        network.server[0].bias.fill_(-1.0)
        network.value[0].weight.copy_(torch.tensor([[1.0, 10.0, 100.0, 0.0, 1.0, 0.0]]))
        network.value[2].weight.fill_(2.0)
        network.value[2].bias.fill_(5.0)
        # [own embedding, mean, max, standard deviation, CPU, memory, double]
        network.advantage[0].weight.copy_(torch.tensor([[1.0, 0.0, 1.0, 1.0, 1.0, 0.0, -1.0]]))
        network.advantage[2].weight.copy_(torch.tensor([[1.0], [-3.0]]))
        network.advantage[2].bias.copy_(torch.tensor([0.0, 1.0]))
    states = torch.tensor([[[[1.0, 0.5], [0.0, 0.25]], [[0.0, 0.0], [0.1, 0.1]]]])
    request = torch.tensor([[0.5, 0.25, 1.0]])
    # Embeddings: 1 + 1 + 1 - 1 = 2 and relu(0.7 - 1) = 0; mean 1, max 2, population standard deviation s = 1.
    # Value: 2 * (1 + 20 + 100 s + 0.25) + 5 = 47.5 + 200 s.
    # Hidden: own + 2 + s + 0.5 - 1 = 3.5 + s and 1.5 + s.
    # Advantages: 3.5 + s, -9.5 - 3 s, 1.5 + s, -3.5 - 3 s with mean -2 - s.
    # Without the ReLU the second embedding is -0.3: mean 0.85, population standard deviation 1.15.
    deviation = scale * spread
    expected = torch.tensor(rest) + deviation * torch.tensor([202.0, 198.0, 202.0, 198.0])
    torch.testing.assert_close(network(seen(states, request)), expected[None])


def test_mlp_forward_by_hand():
    network = build_network("mlp", {"width": 1, "depth": 1}, servers=1, seed=0)
    with torch.no_grad():
        network.trunk[0].weight.copy_(torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]]))
        network.trunk[2].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        network.trunk[2].bias.copy_(torch.tensor([0.0, 30.0]))
        network.value.weight.copy_(torch.tensor([[1.0, 1.0]]))
        network.advantage.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 3.0]]))
    q = network(seen(torch.ones(1, 1, 2, 2), torch.tensor([[1.0, 1.0, 0.0]])))
    # Hidden 21; bottleneck 21 and relu(30 - 21) = 9; value 30; advantages 21 and 27 with mean 24.
    torch.testing.assert_close(q, torch.tensor([[27.0, 33.0]]))


@pytest.mark.parametrize("standard_deviation", ["sample", "population"])
@pytest.mark.parametrize("servers", [1, 2, 4])
def test_standard_deviation_of_equal_servers_is_zero_with_finite_gradients(servers, standard_deviation):
    options = {"aggregations": ["std"], "standard_deviation": standard_deviation}
    network = build_network("spane", options, 5, seed=0)
    states = torch.full((3, servers, 2, 2), 0.37, requires_grad=True)
    q = network(seen(states, torch.rand(3, 3, generator=torch.Generator().manual_seed(0))))
    q.square().sum().backward()
    assert torch.isfinite(q).all()
    assert torch.isfinite(states.grad).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())


@pytest.mark.parametrize("kind", ["spane", "mlp"])
def test_the_seed_alone_decides_the_weights(kind):
    def weights(seed):
        return torch.nn.utils.parameters_to_vector(build_network(kind, {}, 3, seed).parameters())

    before = torch.get_rng_state()
    first = weights(7)
    torch.testing.assert_close(torch.get_rng_state(), before, atol=0, rtol=0)
    torch.manual_seed(123)
    assert torch.equal(first, weights(7))
    assert not torch.equal(first, weights(8))


def test_initial_weights_are_kaiming_uniform():
    network = build_network("mlp", {"width": 512, "depth": 2}, 8, seed=0)
    weight, bound = network.trunk[2].weight, (6 / 512) ** 0.5
    assert 0.99 * bound < weight.abs().max() <= bound
    assert abs(weight.std() - bound / 3**0.5) < 0.01 * bound
    assert not network.trunk[2].bias.any()


def test_mlp_refuses_another_number_of_servers():
    network = build_network("mlp", {}, 5, 0)
    with pytest.raises(UserError, match=r"takes 5 servers, got 6"):
        network(seen(*observations(6)))


@pytest.mark.parametrize("kind", ["spane", "mlp"])
def test_kind_and_options_build_the_network_again(kind):
    options = ALL | DEEP if kind == "spane" else {"width": 6, "depth": 4}
    network = build_network(kind, options, 5, seed=4)
    again = build_network(network.kind, network.options(), 5, seed=4)
    torch.testing.assert_close(network(seen(*observations(5))), again(seen(*observations(5))), atol=0, rtol=0)
    assert {name: network.options()[name] for name in options} == options
