"""Networks by kind."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from spane_rllib.core.errors import UserError
from spane_rllib.core.plugins import is_plugin, plugin_options
from spane_rllib.core.settings import validated
from spane_rllib.learning.networks import build_own, initialise, with_memory
from spane_rllib.problems.vm_scheduling.networks.base import SERVER_FEATURES, QNetwork
from spane_rllib.problems.vm_scheduling.networks.mlp import MlpNetwork
from spane_rllib.problems.vm_scheduling.networks.options import MAX_MLP_SERVERS, MlpOptions, parse_options
from spane_rllib.problems.vm_scheduling.networks.spane import SpaneNetwork


def network_skeleton(
    kind: str, options: Mapping[str, object], servers: int, server_features: int = SERVER_FEATURES
) -> QNetwork:
    """The network on torch's meta device: names and shapes, but no memory and no random numbers.

    Raises:
        UserError: unknown kind or option, or a bad value.
    """
    parsed = parse_options(kind, options)
    largest = MAX_MLP_SERVERS if isinstance(parsed, MlpOptions) else None
    if type(servers) is not int or servers < 1 or (largest and servers > largest):
        limit = f"a whole number from 1 to {largest}" if largest else "a whole number of at least 1"
        raise UserError(f"servers: network {kind} needs {limit}, got {servers!r}")
    with torch.device("meta"):
        if isinstance(parsed, MlpOptions):
            return MlpNetwork(parsed, servers, server_features)
        return SpaneNetwork(parsed, server_features)


def build_network(
    kind: str,
    options: Mapping[str, object],
    servers: int,
    seed: int,
    server_features: int = SERVER_FEATURES,
) -> nn.Module:
    """A network with weights drawn from `seed`; no global random state is read or changed.

    Args:
        kind: one of `NETWORK_KINDS`, or `module:Class`, called with its options and `servers`.
        options: fields of `SpaneOptions`, `MlpOptions` or `Class.Options`; those left out keep their default.
        servers: N, the servers of the cluster; `spane` takes any other number as well.
        seed: seed of the initial weights.
        server_features: what observations have of a server; networks of one's own are not told.

    Raises:
        UserError: unknown kind or option, or a bad value.
    """
    if is_plugin(kind):
        where = f"options of network {kind}"
        return build_own(kind, validated(plugin_options(kind), options, where), servers, seed)
    network = with_memory(network_skeleton(kind, options, servers, server_features))
    initialise(network, seed)
    return network
