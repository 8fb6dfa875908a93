"""Scenarios of the allocations objective: typed, shipped as presets or written by the user as YAML."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field, Strict, ValidationError, model_validator

from spane_rllib.core.errors import UserError
from spane_rllib.core.presets import presets_in
from spane_rllib.core.settings import Settings, user_error
from spane_rllib.core.yaml_files import find_yaml, read_mapping
from spane_rllib.problems.vm_scheduling.settings import ServerCount, ServerGroup

PRESETS = Path(__file__).parent / "presets"

Threshold = Annotated[float, Field(ge=0, le=1_000_000)]


class DoubleRule(Settings):
    """Which VMs are split in halves over both nodes of a server; exactly one key is given."""

    memory_above: Threshold | None = Field(default=None, description="Those with more memory than this, GiB.")
    cpu_above: Threshold | None = Field(default=None, description="Those with more cores than this.")
    cpu_at_least: Threshold | None = Field(default=None, description="Those with at least so many cores.")

    @model_validator(mode="after")
    def _check(self) -> DoubleRule:
        given = self.model_fields_set
        if len(given) != 1 or getattr(self, min(given)) is None:
            raise ValueError(f"give exactly one of {', '.join(type(self).model_fields)}")
        return self

    def applies(self, cpu: npt.ArrayLike, memory: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether VMs of so many cores and GiB are double."""
        if self.memory_above is not None:
            return np.asarray(memory) > self.memory_above
        if self.cpu_above is not None:
            return np.asarray(cpu) > self.cpu_above
        return np.asarray(cpu) >= self.cpu_at_least


class Growth(Settings):
    """Servers that are added during an episode, of the kind of the last server group."""

    servers: ServerCount = Field(description="Servers added at a time.")
    used_threshold: float = Field(
        gt=0,
        le=1,
        description="They are added after a placement that brings the used share of all cores or of all "
        "memory to this, and when a VM fits nowhere.",
    )
    max_servers: ServerCount = Field(description="Servers the cluster can grow to, the first ones included.")


class AllocationScenario(Settings):
    """A cluster and how long VMs are placed on it."""

    name: str = Field(min_length=1, description="What tables call it: the name of the file.")
    server_groups: Annotated[tuple[ServerGroup, ...], Strict(False)] = Field(
        min_length=1, description="The servers at the start of an episode, in the order of their numbers."
    )
    double: DoubleRule = Field(description="Which VMs are split over both nodes of a server.")
    deletions: bool = Field(description="Whether deleted VMs give back what they used.")
    growth: Growth | None = Field(default=None, description="How servers are added; null: never.")
    max_decisions: int | None = Field(
        default=None, ge=1, description="VMs after which an episode is truncated; null: none."
    )

    @model_validator(mode="after")
    def _check(self) -> AllocationScenario:
        if self.growth is not None and self.growth.max_servers < self.initial_servers:
            raise ValueError(
                f"growth.max_servers: {self.growth.max_servers} is less than the {self.initial_servers} "
                "servers of server_groups"
            )
        if self.initial_servers > 10_000:
            raise ValueError(f"server_groups: {self.initial_servers:,} servers; at most 10,000 are allowed")
        return self

    @property
    def initial_servers(self) -> int:
        """Servers at the start of an episode."""
        return sum(group.count for group in self.server_groups)

    @property
    def max_servers(self) -> int:
        """Servers there can be, which observations and actions have room for."""
        return self.growth.max_servers if self.growth else self.initial_servers

    def node_sizes(self) -> npt.NDArray[np.float64]:
        """(max_servers, 2) cores and GiB of a node of every server there can be."""
        counts = [group.count for group in self.server_groups]
        counts[-1] += self.max_servers - self.initial_servers
        sizes = [(group.node_cpu, group.node_memory) for group in self.server_groups]
        return np.repeat(sizes, counts, axis=0)

    def with_servers(self, servers: int) -> AllocationScenario:
        """The same with so many servers at the start.

        Raises:
            UserError: the scenario has several server groups, or cannot have so many servers.
        """
        if len(self.server_groups) > 1:
            raise UserError(
                f"{self.name} has {len(self.server_groups)} server groups: change their counts in its file "
                "rather than the number of servers"
            )
        data = self.model_dump(exclude_unset=True)
        data["server_groups"][0]["count"] = servers
        return _validated(data, self.name)


def load_scenario(
    source: AllocationScenario | Mapping[str, Any] | str | os.PathLike[str],
) -> AllocationScenario:
    """The scenario that `source` means: a preset by name, a YAML file by path, its keys, or itself.

    Raises:
        UserError: there is no such file or preset, or what it says is not allowed.
    """
    if isinstance(source, AllocationScenario):
        return source
    if isinstance(source, Mapping):
        return _validated(dict(source), "scenario")
    path = find_yaml(source, presets_in(PRESETS))
    where, data = read_mapping(path, "server_groups: ..., double: ..., deletions: ...")
    return _validated({"name": path.stem} | data, where)


def _validated(data: dict[str, Any], where: str) -> AllocationScenario:
    try:
        return AllocationScenario.model_validate(data)
    except ValidationError as error:
        raise user_error(error, where) from error
