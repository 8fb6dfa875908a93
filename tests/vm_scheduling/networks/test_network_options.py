import pytest

from spane_rllib.core.errors import UserError
from spane_rllib.problems.vm_scheduling.networks.options import MlpOptions, SpaneOptions, parse_options
from spane_rllib.problems.vm_scheduling.networks.registry import build_network


def test_defaults_are_the_published_ones():
    assert parse_options("spane", {}) == SpaneOptions(
        server_width=8,
        server_depth=2,
        value_width=8,
        value_depth=1,
        advantage_width=16,
        advantage_depth=1,
        aggregations=("mean",),
        encoder_output="linear",
        standard_deviation="sample",
    )
    assert parse_options("mlp", {}) == MlpOptions(width=32, depth=2)


def test_aggregations_have_one_order():
    assert parse_options("spane", {"aggregations": ["std", "mean"]}).aggregations == ("mean", "std")


@pytest.mark.parametrize(
    ("kind", "options", "servers", "message"),
    [
        ("spnae", {}, 5, "unknown network kind 'spnae'; did you mean spane? allowed: spane, mlp"),
        ("transformer", {}, 5, "unknown network kind 'transformer'; allowed"),
        (
            "spane",
            {"server_widht": 8},
            5,
            "options of network spane: server_widht: unknown key; did you mean server_width?",
        ),
        ("spane", {"width": 8}, 5, "allowed: server_width, server_depth, value_width"),
        ("mlp", {"server_width": 8}, 5, "allowed: width, depth"),
        ("mlp", {3: 8}, 5, "options of network mlp: 3: unknown key"),
        ("spane", {"server_width": 0}, 5, "server_width: must be greater than or equal to 1, got 0"),
        ("spane", {"value_width": 1025}, 5, "value_width: must be less than or equal to 1024, got 1025"),
        ("spane", {"advantage_depth": 65}, 5, "advantage_depth: must be less than or equal to 64, got 65"),
        ("spane", {"server_depth": True}, 5, "server_depth: must be a whole number, got True"),
        ("mlp", {"width": "32"}, 5, "width: must be a whole number, got '32'"),
        ("mlp", {"depth": 2.0}, 5, "depth: must be a whole number, got 2.0"),
        ("mlp", {"depth": "\n" * 9999}, 5, "depth: must be a whole number"),
        ("spane", {"aggregations": []}, 5, "aggregations: must not be empty"),
        ("spane", {"aggregations": "mean"}, 5, "aggregations: must be a list, got 'mean'"),
        ("spane", {"aggregations": ["mean", "mean"]}, 5, "must not repeat an item, got ['mean', 'mean']"),
        ("spane", {"aggregations": ["median"]}, 5, "must be 'mean', 'max' or 'std', got 'median'"),
        (
            "spane",
            {"aggregations": [["mean"]]},
            5,
            "aggregations.0: must be 'mean', 'max' or 'std', got ['mean']",
        ),
        ("spane", {"encoder_output": "tanh"}, 5, "encoder_output: must be 'linear' or 'relu', got 'tanh'"),
        ("spane", {"encoder_output": None}, 5, "encoder_output: must be 'linear' or 'relu', got None"),
        ("spane", {"standard_deviation": 1}, 5, "must be 'sample' or 'population', got 1"),
        ("spane", {}, 0, "servers: network spane needs a whole number of at least 1, got 0"),
        ("mlp", {}, 4097, "servers: network mlp needs a whole number from 1 to 4096, got 4097"),
        ("mlp", {}, 5.0, "servers: network mlp needs a whole number from 1 to 4096, got 5.0"),
    ],
)
def test_bad_input_is_named_in_one_line(kind, options, servers, message):
    with pytest.raises(UserError) as caught:
        build_network(kind, options, servers, seed=0)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
