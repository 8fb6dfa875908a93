"""Options of each network kind, checked before anything is built."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, fields

from spane_rllib.errors import UserError

AGGREGATIONS = ("mean", "max", "std")
MAX_WIDTH = 1024
MAX_DEPTH = 64


def _check_sizes(options: object, names: tuple[str, ...]) -> None:
    for name in names:
        value, largest = getattr(options, name), MAX_DEPTH if name.endswith("depth") else MAX_WIDTH
        if type(value) is not int or not 1 <= value <= largest:  # bool is an int, but not a size
            raise UserError(f"{name}: must be a whole number from 1 to {largest}, got {reprlib.repr(value)}")


@dataclass(frozen=True)
class SpaneOptions:
    """Options of a SPANE network. The defaults are those of the published models (571 parameters).

    Args:
        server_width: units of each layer of the network all servers share.
        server_depth: layers of it.
        value_width: units of each hidden layer of the value head.
        value_depth: hidden layers of it.
        advantage_width: units of each hidden layer of the advantage head.
        advantage_depth: hidden layers of it.
        aggregations: how the server embeddings become the cluster embedding, any of mean, max and std
            (kept in that order).

    Raises:
        UserError: a value is out of range.
    """

    server_width: int = 8
    server_depth: int = 2
    value_width: int = 8
    value_depth: int = 1
    advantage_width: int = 16
    advantage_depth: int = 1
    aggregations: tuple[str, ...] = ("mean",)

    def __post_init__(self) -> None:
        _check_sizes(self, tuple(field.name for field in fields(self) if field.name != "aggregations"))
        given = self.aggregations
        if (
            not isinstance(given, list | tuple)
            or not given
            or any(given.count(name) > 1 or name not in AGGREGATIONS for name in given)
        ):
            raise UserError(
                f"aggregations: must be a list of one or more of {', '.join(AGGREGATIONS)}, each at most "
                f"once, got {reprlib.repr(given)}"
            )
        object.__setattr__(self, "aggregations", tuple(name for name in AGGREGATIONS if name in given))

    @property
    def cluster_width(self) -> int:
        """Features of the cluster embedding."""
        return self.server_width * len(self.aggregations)


@dataclass(frozen=True)
class MlpOptions:
    """Options of the multilayer perceptron.

    Args:
        width: units of each hidden layer.
        depth: hidden layers before the bottleneck.

    Raises:
        UserError: a value is out of range.
    """

    width: int = 32
    depth: int = 2

    def __post_init__(self) -> None:
        _check_sizes(self, ("width", "depth"))


NetworkOptions = SpaneOptions | MlpOptions
_OPTIONS: dict[str, type[SpaneOptions] | type[MlpOptions]] = {"spane": SpaneOptions, "mlp": MlpOptions}
NETWORK_KINDS = tuple(_OPTIONS)


def parse_options(kind: str, options: Mapping[str, object]) -> NetworkOptions:
    """The typed options of a network of `kind`; keys that are left out get their default.

    Raises:
        UserError: unknown kind or key, or a bad value.
    """
    if kind not in NETWORK_KINDS:
        raise UserError(_unknown("network kind", kind, NETWORK_KINDS))
    cls = _OPTIONS[kind]
    allowed = tuple(field.name for field in fields(cls))
    for key in options:
        if key not in allowed:
            raise UserError(_unknown(f"option of network {kind}", key, allowed))
    return cls(**options)  # type: ignore[arg-type]  # the classes check their values themselves


def _unknown(what: str, name: object, allowed: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(str(name)[:100], allowed, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"unknown {what} {reprlib.repr(name)}; {hint}allowed: {', '.join(allowed)}"
