"""The other objective of VM scheduling: place VMs until the first that fits nowhere (VMAgent)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from spane_rllib.core.settings import PathText, Settings
from spane_rllib.problems.environments import EnvironmentSpec
from spane_rllib.problems.measures import Measure, Statistic, Statistics
from spane_rllib.problems.problem import Evaluation, Identity
from spane_rllib.problems.vm_scheduling import arguments, environments
from spane_rllib.problems.vm_scheduling.allocations.algorithms import ALGORITHMS
from spane_rllib.problems.vm_scheduling.problem import SlotProblem, check_fixed_sizes
from spane_rllib.problems.vm_scheduling.settings import (
    SlotInstanceSettings,
    TraceSettings,
)

if TYPE_CHECKING:
    import pandas as pd

    from spane_rllib.core.bootstrap import Numbers, Resamples
    from spane_rllib.problems.vm_scheduling.allocations.task import AllocationTask


class AllocationTraceSettings(TraceSettings):
    """Which VM trace the experiment runs on."""

    never_ending: Literal["drop", "keep"] = Field(
        default="keep", description="VMs without a deletion: leave them out, or let them run for ever."
    )


class AllocationInstanceSettings(SlotInstanceSettings):
    """What is scheduled."""

    trace: AllocationTraceSettings = Field(
        default_factory=AllocationTraceSettings, description="Which VM trace."
    )
    scenario: PathText = Field(
        default="fading",
        description="`fading`, `recovering`, another preset or the YAML file of a scenario "
        "(docs/scenarios.md).",
    )


class AllocationProblem(SlotProblem):
    """How many VMs are placed in a scenario of VMAgent (arXiv 2112.04785)."""

    name = "vm_allocations"
    title = "VMs on multi-NUMA servers of a scenario: place as many as possible"
    measure = Measure("allocations", "", "validation allocations", "more", "{:,.1f} VMs")
    environments: Mapping[str, EnvironmentSpec] = environments.ALLOCATIONS
    instance = AllocationInstanceSettings
    algorithms: Mapping[str, type[Settings]] = ALGORITHMS
    statistics = Statistics(
        by_name={
            "allocations_mean": Statistic("VMs", "{:,.1f}", "more"),
            "allocations_std": Statistic("standard deviation", "{:,.1f}", None),
            "allocations_median": Statistic("median", "{:,.1f}", "more"),
            "cpu_rate_mean": Statistic("CPU", "{:.1%}", "more"),
            "memory_rate_mean": Statistic("memory", "{:.1%}", "more"),
            "full_share": Statistic("full", "{:.1%}", None),
        },
        headline="allocations_mean",
        compared=("allocations_mean", "allocations_median"),
        value="allocations",
        value_title="VMs placed in an episode",
        verbs=("places more", "as many", "fewer"),
        note="VMs placed until the first that fits nowhere; CPU and memory: used share of the servers then; "
        "full: episodes that ended so, not by a cap or the end of the trace.",
        block_rows=2000,
        blocks="start rows",
        reference="fgd",
        figure="allocations",
    )
    episode_columns: Mapping[str, type] = {
        "scenario": str,
        "policy": str,
        "servers": int,
        "start": int,
        "allocations": int,
        "cpu_rate": float,
        "memory_rate": float,
        "expansions": int,
        "server_hours": float,
        "hours": float,
        "ended_by": str,
    }
    marks = frozenset({"scenario", "published-table"})

    def check(self, config: Any) -> None:
        """The scenario can have these sizes, networks of a fixed size too, and something is evaluated."""
        from spane_rllib.core.errors import UserError
        from spane_rllib.problems.vm_scheduling.allocations.scenario import load_scenario

        try:
            scenario = load_scenario(config.scenario)
        except UserError:
            return  # `load` refuses it; results are read where the file is not
        try:
            sizes = [scenario.with_servers(servers) for servers in config.evaluation.servers or ()]
        except UserError as error:
            raise ValueError(f"scenario: {error}") from error
        largest = scenario.max_servers
        check_fixed_sizes(
            config,
            largest,
            stated=f"{scenario.name} has {largest}",
            only=f"clusters of up to {largest} servers as {scenario.name} is",
            playable=any(size.max_servers == largest for size in sizes or [scenario]),
        )

    def load(self, settings: Any, shared: Mapping[str, Any] | None = None) -> AllocationTask:
        from spane_rllib.problems.vm_scheduling.allocations.instance import AllocationInstance
        from spane_rllib.problems.vm_scheduling.allocations.scenario import load_scenario
        from spane_rllib.problems.vm_scheduling.allocations.task import AllocationTask
        from spane_rllib.problems.vm_scheduling.data import configured_splits, configured_trace

        scenario = load_scenario(settings.scenario)
        trace = configured_trace(settings.trace, scenario.double.applies, scenario.node_sizes())
        splits = configured_splits(settings.splits, trace)
        return AllocationTask(self, AllocationInstance(trace=trace, splits=splits, scenario=scenario))

    def load_environment(self, environment: str, keywords: Mapping[str, Any]) -> AllocationTask:
        from spane_rllib.problems.environments import from_keywords
        from spane_rllib.problems.vm_scheduling.allocations.instance import AllocationInstance
        from spane_rllib.problems.vm_scheduling.allocations.task import AllocationTask

        fixed = self.environments[environment].keywords
        return AllocationTask(self, from_keywords(AllocationInstance, {**fixed, **keywords}))

    def compile_ahead(self) -> None:
        from spane_rllib.problems.vm_scheduling.compile_ahead import compile_ahead

        compile_ahead(allocations=True)

    def evaluation_of(self, parsed: argparse.Namespace) -> Evaluation:
        # The scenario is `fading` where none is given.
        return arguments.evaluation_of(self, parsed, scenario="fading")

    def summarize(self, episodes: pd.DataFrame) -> pd.DataFrame:
        from spane_rllib.problems.vm_scheduling.allocations.evaluation import summarize

        return summarize(episodes)

    def summary_text(self, summary: pd.DataFrame) -> str:
        from spane_rllib.problems.vm_scheduling.allocations.evaluation import summary_table

        return summary_table(summary)

    def estimate(self, episodes: pd.DataFrame, resamples: Resamples) -> dict[str, Numbers]:
        from spane_rllib.problems.vm_scheduling.allocations.evaluation import estimate

        return estimate(episodes, resamples)

    def what_was_run(self, config: Any, identity: Identity) -> Iterator[str]:
        yield f"Scenario: {config.scenario}."
        yield f"Trace: {identity.description}."

    def report(
        self, episodes: pd.DataFrame, summary: pd.DataFrame, trials: pd.DataFrame
    ) -> Iterator[str | tuple[str, pd.DataFrame]]:
        from spane_rllib.problems.vm_scheduling.allocations.report import report

        return report(episodes, summary, trials)


ALLOCATIONS = AllocationProblem()
