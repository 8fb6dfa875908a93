"""Published weights against a plain calculation of what the published networks compute from them."""

import json
from itertools import combinations, pairwise, permutations

import numpy as np
import pytest
import torch
from torch.nn.functional import linear

from spane_rllib.__main__ import main
from spane_rllib.datasets.catalog import find_dataset
from spane_rllib.problems.vm_scheduling.networks.compiled import CompiledQNetwork
from spane_rllib.problems.vm_scheduling.networks.published import read_published
from spane_rllib.problems.vm_scheduling.networks.weights import load_model

SUBSETS = [subset for size in (1, 2, 3) for subset in combinations(("mean", "max", "std"), size)]
ORDERS = [order for subset in SUBSETS for order in permutations(subset)]


def random_layers(generator, prefix, sizes):
    """Weights and biases of linear layers of these sizes; odd places belong to the ReLUs between them."""
    state = {}
    for index, (inputs, outputs) in enumerate(pairwise(sizes)):
        weight = torch.randn(outputs, inputs, generator=generator) * (2 / inputs) ** 0.5
        state[f"{prefix}.{2 * index}.weight"] = weight
        state[f"{prefix}.{2 * index}.bias"] = torch.randn(outputs, generator=generator) / 2
    return state


def spane_state(aggregations=1, width=8, hidden=(1, 1, 1), value=8, advantage=16, seed=0):
    """`hidden` ReLUs of the encoder, the value and the advantages; the encoder's last layer has none."""
    generator = torch.Generator().manual_seed(seed)
    shared = width * aggregations + 3
    return {
        **random_layers(generator, "server_embedding", [4, *[width] * (hidden[0] + 1)]),
        **random_layers(generator, "value_layers", [shared, *[value] * hidden[1], 1]),
        **random_layers(generator, "adv_layers", [width + shared, *[advantage] * hidden[2], 2]),
    }


def mlp_state(servers, width=32, depth=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    slots = 2 * servers
    heads = {"value": 1, "adv": slots}
    return random_layers(generator, "fc", [4 * servers + 3, *[width] * depth, slots]) | {
        name.replace(".0.", "."): tensor
        for head, outputs in heads.items()
        for name, tensor in random_layers(generator, head, [slots, outputs]).items()
    }


def through(state, prefix, values, rectify_last=False):
    places = sorted(
        int(name.split(".")[1]) for name in state if name.startswith(f"{prefix}.") and "weight" in name
    )
    for place in places:
        values = linear(values, state[f"{prefix}.{place}.weight"], state[f"{prefix}.{place}.bias"])
        if rectify_last or place != places[-1]:
            values = values.relu()
    return values


def dueling(value, advantage):
    return value + advantage - advantage.mean(1, keepdim=True)


def spane_q_values(state, aggregations, free, request):
    """Of free CPU cores and GiB of nodes (B, N, 2, 2) and of requests (B, 3)."""
    free, request = free / torch.tensor([40.0, 90.0]), request / torch.tensor([40.0, 90.0, 1.0])
    servers = through(state, "server_embedding", free.reshape(len(free), -1, 4))
    summary = {
        "mean": lambda: servers.mean(1),
        "max": lambda: servers.max(1)[0],
        "std": lambda: servers.std(1),
    }
    cluster = torch.cat([summary[name]() for name in aggregations], 1)
    value = through(state, "value_layers", torch.cat([cluster, request], 1))
    each = [
        through(state, "adv_layers", torch.cat([servers[:, i], cluster, request], 1))
        for i in range(servers.shape[1])
    ]
    return dueling(value, torch.cat(each, 1))


def mlp_q_values(state, free, request):
    free, request = free / torch.tensor([40.0, 90.0]), request / torch.tensor([40.0, 90.0, 1.0])
    features = through(state, "fc", torch.cat([free.flatten(1), request], 1), rectify_last=True)
    return dueling(
        linear(features, state["value.weight"], state["value.bias"]),
        linear(features, state["adv.weight"], state["adv.bias"]),
    )


def quantities(servers, rows=50, seed=1):
    generator = torch.Generator().manual_seed(seed)
    free = torch.rand(rows, servers, 2, 2, generator=generator) * torch.tensor([40.0, 90.0])
    request = torch.rand(rows, 3, generator=generator) * torch.tensor([40.0, 90.0, 1.0])
    return free, torch.cat([request[:, :2], request[:, 2:].round()], 1)


def check_equal(network, free, request, expected):
    states, requests = free / torch.tensor([40.0, 90.0]), request / torch.tensor([40.0, 90.0, 1.0])
    compiled = CompiledQNetwork(network).q_values(states.numpy(), requests.numpy())
    for q in (network({"servers": states, "request": requests}).detach().numpy(), compiled):
        np.testing.assert_allclose(q, expected.numpy(), atol=1e-5, rtol=1e-5)


def save(path, state):
    torch.save(state, path)
    return path


@pytest.mark.parametrize("aggregations", ORDERS, ids="-".join)
@pytest.mark.parametrize("hidden", [(1, 1, 1), (3, 2, 1), (1, 1, 4), (2, 3, 2)])
def test_an_imported_spane_computes_what_the_published_one_does(tmp_path, aggregations, hidden):
    state = spane_state(len(aggregations), hidden=hidden)
    network = read_published(save(tmp_path / "model.th", state), aggregations)
    for servers in (2, 5, 9):
        free, request = quantities(servers)
        check_equal(network, free, request, spane_q_values(state, aggregations, free, request))


@pytest.mark.parametrize(("servers", "width", "depth"), [(1, 32, 2), (2, 8, 1), (5, 32, 2), (9, 20, 4)])
def test_an_imported_mlp_computes_what_the_published_one_does(tmp_path, servers, width, depth):
    state = mlp_state(servers, width, depth)
    network = read_published(save(tmp_path / "model.th", state))
    assert network.fixed_servers == servers
    free, request = quantities(servers)
    check_equal(network, free, request, mlp_q_values(state, free, request))


def test_sizes_are_inferred(tmp_path):
    state = spane_state(3, width=5, hidden=(2, 3, 4), value=6, advantage=7)
    assert read_published(save(tmp_path / "spane.th", state)).options() == {
        "server_width": 5,
        "server_depth": 3,
        "value_width": 6,
        "value_depth": 3,
        "advantage_width": 7,
        "advantage_depth": 4,
        "aggregations": ["mean", "max", "std"],
        "encoder_output": "linear",
        "standard_deviation": "sample",
    }
    mlp = read_published(save(tmp_path / "mlp.th", mlp_state(4, width=9, depth=3)))
    assert (mlp.options(), mlp.fixed_servers) == ({"width": 9, "depth": 3}, 4)


@pytest.mark.parametrize("given", [None, ("max",), ("std",)])
def test_one_aggregation_is_the_mean_unless_said_otherwise(tmp_path, given):
    state = spane_state(1)
    free, request = quantities(5)
    network = read_published(save(tmp_path / "model.th", state), given)
    check_equal(network, free, request, spane_q_values(state, given or ("mean",), free, request))


def test_files_in_torchs_older_format_are_read_too(tmp_path):
    state = spane_state()
    torch.save(state, tmp_path / "model.th", _use_new_zipfile_serialization=False)
    free, request = quantities(5)
    expected = spane_q_values(state, ("mean",), free, request)
    check_equal(read_published(tmp_path / "model.th"), free, request, expected)


def test_models_import_writes_a_folder_for_each_file(tmp_path, capsys):
    save(tmp_path / "ZHrai_2000.th", spane_state())
    save(tmp_path / "8zB1f_2500.th", mlp_state(5))
    files = [str(tmp_path / name) for name in ("ZHrai_2000.th", "8zB1f_2500.th")]
    output = tmp_path / "deep" / "models"
    assert main(["models", "import", *files, "--output", str(output)]) == 0

    printed = capsys.readouterr().out.splitlines()
    assert printed == [
        f"{output}/ZHrai_2000: network spane, 571 parameters, for any number of servers (server_width 8; "
        "server_depth 2; value_width 8; value_depth 1; advantage_width 16; advantage_depth 1; "
        "aggregations mean; encoder_output linear; standard_deviation sample)",
        f"{output}/8zB1f_2500: network mlp, 2,275 parameters, for 5 servers (width 32; depth 2)",
    ]
    assert sorted(path.name for path in output.iterdir()) == ["8zB1f_2500", "ZHrai_2000"]
    network, metadata = load_model(output / "ZHrai_2000")
    free, request = quantities(7)
    check_equal(network, free, request, spane_q_values(spane_state(), ("mean",), free, request))
    assert json.loads(metadata.model_dump_json(exclude={"package_version"})) == {
        "servers": 5,
        "server_groups": None,
        "normalisation": {"node_cpu": 40, "node_memory": 90, "double_memory_threshold": 10},
        "trace": {"name": "Huawei-East-1-lt", "sha256": find_dataset("huawei-east-1-lt").content_sha256},
        "queue": "fifo",
        "seed": None,
        "metrics": {},
        "training": {},
    }
    assert load_model(output / "8zB1f_2500")[1].servers == 5


def test_models_import_takes_the_aggregations_in_their_order(tmp_path):
    state = spane_state(2)
    file = save(tmp_path / "model.th", state)
    assert main(["models", "import", str(file), "--aggregations", "std,mean", "--output", str(tmp_path)]) == 0
    network, _ = load_model(tmp_path / "model")
    free, request = quantities(5)
    check_equal(network, free, request, spane_q_values(state, ("std", "mean"), free, request))


def test_an_imported_model_is_played_by_evaluate(tmp_path, capsys):
    save(tmp_path / "model.th", spane_state())
    assert main(["models", "import", str(tmp_path / "model.th"), "--output", str(tmp_path)]) == 0
    arguments = ["--trace", "synthetic:vms=2000", "--episodes", "5", "--output", str(tmp_path / "out")]
    assert main(["evaluate", "--policy", str(tmp_path / "model"), *arguments]) == 0
    assert "model" in capsys.readouterr().out
