"""The first problem: VMs of a trace wait as little as possible (SPANE, arXiv 2504.14946)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from spane_rllib.core.errors import UserError
from spane_rllib.core.settings import Settings
from spane_rllib.problems.environments import EnvironmentSpec
from spane_rllib.problems.measures import Measure, Statistic, Statistics
from spane_rllib.problems.problem import Evaluation, Identity, ValidationSettings
from spane_rllib.problems.search import SearchMethod
from spane_rllib.problems.studies import OwnStudy
from spane_rllib.problems.vm_scheduling import arguments, environments
from spane_rllib.problems.vm_scheduling.lifetimes import UNKNOWN
from spane_rllib.problems.vm_scheduling.networks.options import CHOICE, WAIT_NETWORK_OPTIONS
from spane_rllib.problems.vm_scheduling.problem import SlotProblem, check_fixed_sizes
from spane_rllib.problems.vm_scheduling.queue_disciplines import FIFO, choices_of
from spane_rllib.problems.vm_scheduling.reference_cluster import VM_SIZES
from spane_rllib.problems.vm_scheduling.score_search.settings import PlacementScoreSearch
from spane_rllib.problems.vm_scheduling.settings import (
    CATASTROPHE_S,
    WaitInstanceSettings,
)
from spane_rllib.problems.vm_scheduling.waits.algorithms import ALGORITHMS
from spane_rllib.problems.vm_scheduling.waits.information import InformationStudy

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from spane_rllib.core.bootstrap import Numbers, Resamples
    from spane_rllib.problems.vm_scheduling.waits.task import WaitTask


class WaitValidationSettings(ValidationSettings):
    """Episodes that choose the best weights of a trial and the best trials of a method."""

    trim: float = Field(
        default=0.1,
        ge=0,
        lt=0.5,
        description="Share of episodes dropped at each end of the mean total wait (reference: 0.1).",
    )


class WaitProblem(SlotProblem):
    """How long VMs wait on multi-NUMA servers (arXiv 2504.14946)."""

    name = "vm_scheduling"
    title = "VMs on multi-NUMA servers, first come, first served: wait as little as possible"
    measure = Measure("wait", "_s", "validation wait, s", "less", "{:,.0f} s", logarithmic=True)
    environments: Mapping[str, EnvironmentSpec] = environments.WAITS
    instance = WaitInstanceSettings
    validation = WaitValidationSettings
    algorithms: Mapping[str, type[Settings]] = ALGORITHMS
    networks: Mapping[str, type[Settings]] = WAIT_NETWORK_OPTIONS
    searches: Mapping[str, SearchMethod] = {"score": PlacementScoreSearch()}
    studies: Mapping[str, OwnStudy] = {"information": InformationStudy()}
    statistics = Statistics(
        by_name={
            "trimmed_mean_05_s": Statistic("trim 5%, s", "{:,.0f}"),
            "trimmed_mean_10_s": Statistic("trim 10%, s", "{:,.0f}"),
            "trimmed_mean_20_s": Statistic("trim 20%, s", "{:,.0f}"),
            "mean_s": Statistic("mean, s", "{:,.0f}"),
            "median_s": Statistic("median, s", "{:,.0f}"),
            "mean_log1p": Statistic("mean log1p", "{:.3f}"),
            "catastrophe_rate": Statistic("catastrophes", "{:.1%}"),
            "zero_wait_rate": Statistic("zero wait", "{:.1%}", "more"),
            "gap_trimmed_mean_10": Statistic("trim 10% / lower bound", "{:.2f}", derived=True),
            "gap_mean": Statistic("mean / lower bound", "{:.2f}", derived=True),
            "longest_wait_p99_s": Statistic("longest wait p99, s", "{:,.0f}"),
            "overtaken_rate": Statistic("overtaken", "{:.2%}"),
        },
        headline="trimmed_mean_10_s",
        compared=("trimmed_mean_10_s", "trimmed_mean_20_s", "mean_s", "mean_log1p"),
        value="total_wait_s",
        value_title="total wait of an episode, s",
        tie=1e-6,
        verbs=("waits less", "as long", "longer"),
        block_rows=2000,
        blocks="start rows",
        reference="keep-64",
        bound="lower_bound_trimmed_mean_10_s",
        note=(
            "A trimmed mean drops the named share of episodes at each end; a catastrophe is an episode with "
            f"a total wait of more than {CATASTROPHE_S:,.0f} s; mean log1p is the mean of log(1 + total wait "
            "in seconds); the lower bound holds for every policy without migration; longest wait p99 is the "
            "99th percentile over episodes of the longest wait of a VM; overtaken is the share of VMs that "
            "were placed after one that arrived later."
        ),
        figure="trimmed_means",
    )
    episode_columns: Mapping[str, type] = {
        "policy": str,
        "servers": int,
        "start": int,
        "vm_count": int,
        "total_wait_s": float,
        "mean_wait_s": float,
        "max_wait_s": float,
        "return": float,
        "lower_bound_s": float,
        "overtaken": int,
        "passes": int,
        "most_passes": int,
        **{f"wait_{size}_s": float for size in VM_SIZES},
        **{f"vms_{size}": int for size in VM_SIZES},
    }

    def check(self, config: Any) -> None:
        """Networks of a fixed size can have so many servers, and something is evaluated."""
        for name, method in config.methods.items():
            if method.network == CHOICE:
                _check_choice(name, method, config)
        servers, key = config.cluster.count, "cluster.servers"
        if config.cluster.server_groups is not None:
            key = "servers of cluster.server_groups"
            if config.evaluation.servers is not None:
                raise ValueError("evaluation.servers: not allowed with cluster.server_groups; leave it null")
        check_fixed_sizes(
            config,
            servers,
            stated=f"{key} is {servers}",
            only=f"the {key} {servers}",
            playable=servers in (config.evaluation.servers or (servers,)),
        )

    def load(self, settings: Any, shared: Mapping[str, Any] | None = None) -> WaitTask:
        from spane_rllib.problems.vm_scheduling.data import (
            configured_cluster,
            configured_splits,
            configured_trace,
        )
        from spane_rllib.problems.vm_scheduling.waits.instance import WaitInstance
        from spane_rllib.problems.vm_scheduling.waits.task import WaitTask

        cluster = configured_cluster(settings.cluster)
        trace = configured_trace(settings.trace, cluster.is_double, cluster.kinds())
        splits = configured_splits(settings.splits, trace)
        servers = settings.cluster.model_dump()
        known = {"queue": settings.queue, "lifetimes": settings.lifetimes}
        return WaitTask(self, WaitInstance(trace=trace, splits=splits, **known, **servers))

    def load_environment(self, environment: str, keywords: Mapping[str, Any]) -> WaitTask:
        from spane_rllib.problems.environments import from_keywords
        from spane_rllib.problems.vm_scheduling.waits.instance import WaitInstance
        from spane_rllib.problems.vm_scheduling.waits.task import WaitTask

        if environment != environments.CHOICE:
            return WaitTask(self, from_keywords(WaitInstance, keywords), environment)
        from spane_rllib.problems.vm_scheduling.waits.choice_env import VMChoiceEnv

        if not keywords.get("flat_actions"):
            raise UserError(f"{environment}: what is here learns with flat_actions: true in env_config")
        choice = from_keywords(VMChoiceEnv, keywords)
        instance = replace(choice.instance, queue=f"skip:{choice.choices}")
        return WaitTask(self, instance, environment)

    def compile_ahead(self) -> None:
        from spane_rllib.problems.vm_scheduling.compile_ahead import compile_ahead

        compile_ahead()

    def missing_parts(self, policies: Sequence[Any] | None = None) -> Sequence[str]:
        from spane_rllib.problems.vm_scheduling.compiled_parts import missing_parts

        return missing_parts(policies)

    def compile_part(self, part: str) -> None:
        from spane_rllib.problems.vm_scheduling.compiled_parts import compile_part

        compile_part(part)

    def evaluation_of(self, parsed: argparse.Namespace) -> Evaluation:
        for option in ("scenario", "published_table"):
            if getattr(parsed, option):
                raise UserError(
                    f"argument --{option.replace('_', '-')}: is of vm_allocations; leave out --problem"
                )
        return arguments.evaluation_of(self, parsed)

    def summarize(self, episodes: pd.DataFrame) -> pd.DataFrame:
        from spane_rllib.problems.vm_scheduling.waits.evaluation import summarize

        return summarize(episodes)

    def summary_text(self, summary: pd.DataFrame) -> str:
        from spane_rllib.problems.vm_scheduling.waits.evaluation import summary_table

        return summary_table(summary)

    def estimate(self, episodes: pd.DataFrame, resamples: Resamples) -> dict[str, Numbers]:
        from spane_rllib.problems.vm_scheduling.waits.statistics import all_statistics

        return all_statistics(episodes, resamples)

    def what_was_run(self, config: Any, identity: Identity) -> Iterator[str]:
        cluster = config.cluster
        yield f"Trace: {identity.description}."
        for group in cluster.server_groups or (cluster,):
            nodes = group.nodes if cluster.server_groups else 2
            yield (
                f"Cluster: {group.count:,} servers of {'two' if nodes == 2 else nodes} NUMA nodes, each "
                f"{group.node_cpu:g} CPU cores and {group.node_memory:g} GiB; a VM above "
                f"{cluster.double_memory_threshold:g} GiB is split over both nodes."
            )
        if config.queue != FIFO.text:
            yield f"Queue discipline: {config.queue}."
        if config.lifetimes != UNKNOWN.text:
            yield f"Lifetimes: {config.lifetimes}."
        parts = (
            ", ".join(
                f"{name} {low:g} to {high:g}" for name, (low, high) in config.splits.model_dump().items()
            )
            if config.splits
            else "the trace's published ones, else the default ones"
        )
        yield f"Shares of the trace where episodes start: {parts}."

    def report(
        self, episodes: pd.DataFrame, summary: pd.DataFrame, trials: pd.DataFrame
    ) -> Iterator[str | tuple[str, Figure]]:
        from spane_rllib.problems.vm_scheduling.waits.report import report

        return report(episodes, summary, trials)


def _check_choice(name: str, method: Any, config: Any) -> None:
    """Raise a `ValueError` unless whom to place can be learned by a method."""
    try:
        choices_of(config.queue)
    except UserError as error:
        raise ValueError(f"methods.{name}: {error}") from error
    key, shared = "augmentation_permutations", config.training[method.algorithm]
    if method.training.get(key, getattr(shared, key, 0)) != 0:
        raise ValueError(f"methods.{name}: {key}: network choice takes equal servers alike; set it to 0")


WAITS = WaitProblem()
