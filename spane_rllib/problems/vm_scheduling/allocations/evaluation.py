"""Evaluation of the allocations objective: the episode table, the summary table and their statistics."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from spane_rllib.core.bootstrap import Numbers, Resamples
from spane_rllib.core.console import format_table
from spane_rllib.problems.vm_scheduling.allocations.results import AllocationResults
from spane_rllib.problems.vm_scheduling.allocations.workload import AllocationWorkload
from spane_rllib.problems.vm_scheduling.policies import Policy, Rows

if TYPE_CHECKING:
    import pandas as pd

EPISODE_COLUMNS = ("scenario", "policy", "servers", *(field.name for field in fields(AllocationResults)))
SUMMARY_COLUMNS = (
    "scenario",
    "policy",
    "servers",
    "episodes",
    "allocations_mean",
    "allocations_std",
    "allocations_min",
    "allocations_median",
    "allocations_max",
    "cpu_rate_mean",
    "cpu_rate_std",
    "memory_rate_mean",
    "memory_rate_std",
    "expansions_mean",
    "server_hours_mean",
    "hours_mean",
    "full_share",
)


def evaluate_policy(
    policy: Policy, workload: AllocationWorkload, starts: Rows, seed: int = 0, name: str | None = None
) -> pd.DataFrame:
    """Run `policy` from every start; one row per episode with the columns `EPISODE_COLUMNS`.

    `name` is what the table calls the scenario, if not by its own name.
    """
    import pandas as pd

    scenario = workload.scenario
    longest = scenario.max_decisions or len(workload)
    ends = policy.play(workload, workload.cluster, starts, np.full(len(starts), longest), seed)
    results = AllocationResults.of(ends, workload, scenario)
    columns = (name or scenario.name, policy.name, scenario.initial_servers, *vars(results).values())
    return pd.DataFrame(dict(zip(EPISODE_COLUMNS, columns, strict=True)))


def summarize(episodes: pd.DataFrame) -> pd.DataFrame:
    """One row per scenario, policy and number of servers with the columns `SUMMARY_COLUMNS`.

    Standard deviations are those of the sample (n - 1), 0 for a single episode; `full_share` is the share of
    episodes that ended with a VM that fits nowhere.
    """
    import pandas as pd

    rows = []
    spread = ("mean", "std")
    for key, group in episodes.groupby(["scenario", "policy", "servers"], sort=False):
        allocations = group["allocations"]
        values = (
            *key,
            len(group),
            *(float(getattr(allocations, name)()) for name in (*spread, "min", "median", "max")),
            *(float(getattr(group[f"{of}_rate"], name)()) for of in ("cpu", "memory") for name in spread),
            *(float(group[name].mean()) for name in ("expansions", "server_hours", "hours")),
            float((group["ended_by"] == "full").mean()),
        )
        rows.append(dict(zip(SUMMARY_COLUMNS, values, strict=True)))
    return pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS)).fillna(0.0)


def estimate(episodes: pd.DataFrame, resamples: Resamples) -> dict[str, Numbers]:
    """(1 + R,) values of the statistics of `AllocationProblem`, of the episodes and of each resample."""
    allocations = episodes["allocations"].to_numpy(np.float64)
    mean, count = resamples.means(allocations), resamples.episodes
    [median] = resamples.trimmed_means(allocations, (0.5,))
    # Around the mean of the sample, so that large numbers do not cancel.
    centred = allocations - mean[0]
    variance = resamples.means(centred**2) - (mean - mean[0]) ** 2
    spread = np.sqrt(np.maximum(variance, 0.0) * count / np.maximum(count - 1, 1))
    return {
        "allocations_mean": mean,
        "allocations_std": spread,
        "allocations_median": median,
        "cpu_rate_mean": resamples.means(episodes["cpu_rate"]),
        "memory_rate_mean": resamples.means(episodes["memory_rate"]),
        "full_share": resamples.means(episodes["ended_by"] == "full"),
    }


def summary_table(summary: pd.DataFrame) -> str:
    """The summary as text, most allocations first within each scenario and number of servers."""
    header = (
        "policy",
        "servers",
        "episodes",
        "mean",
        "std",
        "min",
        "median",
        "max",
        "CPU %",
        "MEM %",
        "expansions",
        "server-hours",
        "full %",
    )
    ordered = summary.sort_values(["servers", "allocations_mean"], ascending=[True, False], kind="stable")
    rows = [
        (
            row.policy,
            row.servers,
            row.episodes,
            row.allocations_mean,
            row.allocations_std,
            row.allocations_min,
            row.allocations_median,
            row.allocations_max,
            100 * row.cpu_rate_mean,
            100 * row.memory_rate_mean,
            row.expansions_mean,
            row.server_hours_mean,
            100 * row.full_share,
        )
        for row in ordered.itertuples(index=False)
    ]
    main = ("policy", "servers", header[3], "CPU %", "MEM %", "full %")
    return format_table(header, rows, main)
