"""What is scheduled, as configurations say it: a trace, servers, and where episodes start."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, Strict, model_validator

from spane_rllib.core.settings import Interval, PathText, Seed, Settings, distinct
from spane_rllib.problems.problem import EpisodeSettings
from spane_rllib.problems.vm_scheduling.heuristic_names import HEURISTICS, HeuristicName
from spane_rllib.problems.vm_scheduling.lifetimes import UNKNOWN, LifetimesText
from spane_rllib.problems.vm_scheduling.queue_disciplines import FIFO, QueueText
from spane_rllib.problems.vm_scheduling.reference_cluster import (
    DOUBLE_MEMORY_THRESHOLD,
    NODE_CPU,
    NODE_MEMORY,
    SERVERS,
)

CATASTROPHE_S = 300_000.0
"""Total wait of an episode, seconds, above which it is called a catastrophe."""

ServerCount = Annotated[int, Field(ge=1, le=10_000)]
ServerCounts = Annotated[
    tuple[ServerCount, ...], Strict(False), Field(min_length=1), AfterValidator(distinct)
]


class TraceSettings(Settings):
    """Which VM trace the experiment runs on."""

    source: PathText = Field(
        default="auto",
        description="`auto` (the environment variable SPANE_RLLIB_DATA where set, else a synthetic trace), "
        "`synthetic`, or the path of a trace file or of a folder that holds one known dataset.",
    )
    synthetic_vms: int = Field(
        default=120_000, ge=100, le=10_000_000, description="VMs in a synthetic trace."
    )
    synthetic_seed: Seed = Field(default=0, description="Seed of a synthetic trace.")
    never_ending: Literal["drop", "keep"] = Field(
        default="drop", description="VMs without a deletion: leave them out, or let them run for ever."
    )
    skip_invalid: bool = Field(
        default=False, description="Skip and count invalid rows of a trace file, not stop at one."
    )


class ServerGroup(Settings):
    """Equal servers of two NUMA nodes each."""

    count: ServerCount = Field(description="Servers.")
    node_cpu: float = Field(gt=0, le=1_000_000, description="CPU cores of one NUMA node.")
    node_memory: float = Field(gt=0, le=1_000_000, description="Memory of one NUMA node, GiB.")


class NumaServerGroup(ServerGroup):
    """Equal servers."""

    nodes: int = Field(default=2, ge=1, le=8, description="NUMA nodes of one server.")


class ClusterSettings(Settings):
    """The cluster trained on: equal servers of two NUMA nodes each, or groups. Defaults: reference."""

    servers: ServerCount = Field(default=SERVERS, description="Servers.")
    node_cpu: float = Field(default=NODE_CPU, gt=0, le=1_000_000, description="CPU cores of one NUMA node.")
    node_memory: float = Field(
        default=NODE_MEMORY, gt=0, le=1_000_000, description="Memory of one NUMA node, GiB."
    )
    double_memory_threshold: float = Field(
        default=DOUBLE_MEMORY_THRESHOLD,
        ge=0,
        le=1_000_000,
        description="A VM with more memory than this, GiB, is split over both nodes of a server.",
    )
    server_groups: Annotated[tuple[NumaServerGroup, ...], Strict(False)] | None = Field(
        default=None,
        min_length=1,
        description="Servers that differ, in the order of their numbers, in place of the first three keys; "
        "see docs/vm_scheduling_env.md.",
    )

    @model_validator(mode="after")
    def _check_groups(self) -> ClusterSettings:
        if self.server_groups is None:
            return self
        for name in ("servers", "node_cpu", "node_memory"):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name}: not allowed with server_groups, which say it; leave it out")
        servers = sum(group.count for group in self.server_groups)
        if servers > 10_000:
            raise ValueError(f"server_groups: {servers:,} servers; at most 10,000 are allowed")
        return self

    @property
    def count(self) -> int:
        """Servers."""
        return sum(group.count for group in self.server_groups or ()) or self.servers


class SplitSettings(Settings):
    """Where episodes start: disjoint half-open shares of the trace's rows, in order of arrival."""

    train: Interval = Field(default=(0.0, 0.43), description="Starts of training episodes, [from, to).")
    validation: Interval = Field(
        default=(0.43, 0.6), description="Starts of validation episodes, [from, to)."
    )
    test: Interval = Field(default=(0.6, 0.945), description="Starts of test episodes, [from, to).")

    @model_validator(mode="after")
    def _check_disjoint(self) -> SplitSettings:
        parts = sorted((getattr(self, name), name) for name in SplitSettings.model_fields)
        for (before, first), (after, second) in pairwise(parts):
            if after[0] < before[1]:
                raise ValueError(f"{first} {list(before)} and {second} {list(after)} overlap")
        return self


class SlotInstanceSettings(Settings):
    """What waits and allocations have in common."""

    trace: TraceSettings = Field(default_factory=TraceSettings, description="Which VM trace.")
    splits: SplitSettings | None = Field(
        default=None,
        description="Shares of the trace to start episodes in; null: the published split of a known dataset, "
        "else the default shares.",
    )


class WaitInstanceSettings(SlotInstanceSettings):
    """What is scheduled."""

    cluster: ClusterSettings = Field(default_factory=ClusterSettings, description="The cluster trained on.")
    queue: QueueText = Field(
        default=FIFO.text,
        description="Queue discipline: `fifo` (reference), `skip`, `skip:DEPTH`, `easy`, `conservative`, "
        "`aged:SECONDS`, `smallest`, `largest` or `hold`; see docs/queue_disciplines.md.",
    )
    lifetimes: LifetimesText = Field(
        default=UNKNOWN.text,
        description="What is known of a VM's lifetime when it arrives: `unknown` (reference), "
        "`predicted:NOISE` or `known`; see docs/knowing_more.md.",
    )


class SlotEvaluationSettings(EpisodeSettings):
    """What policies play in the final comparison."""

    split: Literal["train", "validation", "test"] = Field(
        default="test", description="Part of the trace where episodes start."
    )
    servers: ServerCounts | None = Field(
        default=None,
        description="Cluster sizes, servers; null: the size trained on. `mlp` can only play that one.",
    )
    heuristics: Annotated[tuple[HeuristicName, ...], Strict(False), AfterValidator(distinct)] = Field(
        default=tuple(HEURISTICS), description="Heuristics to compare with."
    )
