"""Options of each network kind, checked before anything is built; free of torch, for the configuration.

Defaults called "reference" are those of the published SPANE code (arXiv 2504.14946).
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, Strict

from spane_rllib.core.errors import UserError
from spane_rllib.core.settings import Settings, distinct, validated
from spane_rllib.core.words import suggestion

NetworkKind = Literal["spane", "mlp"]
Aggregation = Literal["mean", "max", "std"]
EncoderOutput = Literal["linear", "relu"]
StandardDeviation = Literal["sample", "population"]
NETWORK_KINDS: tuple[NetworkKind, ...] = get_args(NetworkKind)
AGGREGATIONS: tuple[Aggregation, ...] = get_args(Aggregation)

MAX_MLP_SERVERS = 4096
"""The multilayer perceptron's last layer has (2N)^2 weights: 256 MiB at this limit."""

Width = Annotated[int, Field(ge=1, le=1024)]
Depth = Annotated[int, Field(ge=1, le=64)]


def _in_one_order(given: tuple[Aggregation, ...]) -> tuple[Aggregation, ...]:
    # Which weights read which aggregation depends on it.
    return tuple(sorted(given, key=AGGREGATIONS.index))


class SpaneOptions(Settings):
    """Options of the network `spane`. Defaults: reference, 571 parameters."""

    server_width: Width = Field(
        default=8, description="Units per layer of the encoder shared by all servers."
    )
    server_depth: Depth = Field(default=2, description="Layers of the encoder shared by all servers.")
    value_width: Width = Field(default=8, description="Units per hidden layer of the state value.")
    value_depth: Depth = Field(default=1, description="Hidden layers of the state value.")
    advantage_width: Width = Field(default=16, description="Units per hidden layer of the advantages.")
    advantage_depth: Depth = Field(default=1, description="Hidden layers of the advantages.")
    aggregations: Annotated[
        tuple[Aggregation, ...],
        Strict(False),
        Field(min_length=1),
        AfterValidator(distinct),
        AfterValidator(_in_one_order),
    ] = Field(
        default=("mean",),
        description="How encoded servers become one vector: mean, max, std or several, joined in this order.",
    )
    encoder_output: EncoderOutput = Field(
        default="linear",
        description="How the server encoder ends: in its last linear layer or in a ReLU after it.",
    )
    standard_deviation: StandardDeviation = Field(
        default="sample",
        description="Of the aggregation std: over servers - 1 (one server has 0), or over servers.",
    )

    @property
    def cluster_width(self) -> int:
        """Features of the cluster embedding."""
        return self.server_width * len(self.aggregations)


class MlpOptions(Settings):
    """Options of the network `mlp`. Defaults: reference."""

    width: Width = Field(default=32, description="Units per hidden layer.")
    depth: Depth = Field(default=2, description="Hidden layers before the bottleneck of one unit per slot.")


class ChoiceOptions(Settings):
    """Options of the network `choice`, which chooses whom to place as well."""

    server_width: Width = Field(
        default=16, description="Units per layer of the encoder shared by all servers."
    )
    server_depth: Depth = Field(default=2, description="Layers of the encoder shared by all servers.")
    queue_width: Width = Field(default=16, description="Units per layer of the encoder of waiting VMs.")
    queue_depth: Depth = Field(default=1, description="Layers of the encoder of waiting VMs.")
    value_width: Width = Field(
        default=16, description="Units of the hidden layer of the state value, and of that of waiting."
    )
    advantage_width: Width = Field(
        default=32, description="Units of the hidden layer that rates a waiting VM on a slot."
    )
    node_symmetry: bool = Field(
        default=True, description="Both nodes of a server are exchangeable, too; else only servers are."
    )
    may_wait: bool = Field(
        default=False,
        description="May wait for the next departure or arrival although a VM fits, as to keep room for a "
        "large one; else one that fits is placed.",
    )


NetworkOptions = SpaneOptions | MlpOptions
NETWORK_OPTIONS: dict[str, type[SpaneOptions] | type[MlpOptions]] = {"spane": SpaneOptions, "mlp": MlpOptions}
CHOICE = "choice"
"""The network that chooses whom to place as well as where; only where VMs wait."""
WAIT_NETWORK_OPTIONS: dict[str, type[SpaneOptions] | type[MlpOptions] | type[ChoiceOptions]] = {
    **NETWORK_OPTIONS,
    CHOICE: ChoiceOptions,
}


def parse_options(kind: str, options: Mapping[str, object]) -> NetworkOptions:
    """The typed options of a network of `kind`; keys that are left out get their default.

    Raises:
        UserError: unknown kind or key, or a bad value.
    """
    if kind not in NETWORK_KINDS:
        hint = suggestion(kind, NETWORK_KINDS)
        raise UserError(f"unknown network kind {reprlib.repr(kind)}; {hint}")
    return validated(NETWORK_OPTIONS[kind], options, f"options of network {kind}")
