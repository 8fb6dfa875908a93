"""Tables of an evaluation: a row per block of arrivals, the summary, and every job."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spane_rllib.core.bootstrap import Numbers, Resamples
from spane_rllib.core.console import format_table
from spane_rllib.problems.gpu_jobs.columns import BLOCK_COLUMNS, RUN_COLUMNS, SUMMARY
from spane_rllib.problems.gpu_jobs.details import details_of
from spane_rllib.problems.gpu_jobs.simulator.cluster import Cluster
from spane_rllib.problems.gpu_jobs.simulator.schedule import Schedule, bounded_slowdown, measures

if TYPE_CHECKING:
    import pandas as pd


def block_table(
    schedule: Schedule,
    cluster: Cluster,
    policy: str,
    workload: str,
    blocks: int,
    measured: tuple[float, float],
    bound: float,
) -> pd.DataFrame:
    """One row per block with the columns `BLOCK_COLUMNS`."""
    import pandas as pd

    jobs = schedule.jobs
    count = len(jobs)
    inside = np.zeros(count, bool)
    inside[round(measured[0] * count) : round(measured[1] * count)] = True
    block = np.arange(count) * blocks // max(count, 1)

    def total(values: Numbers) -> Numbers:
        return np.bincount(block, values, minlength=blocks).astype(np.float64)

    counted = schedule.counted & inside
    weight = jobs.priority * counted
    jct = np.where(counted, schedule.jct, 0.0)
    number, weights = total(counted.astype(float)), total(weight)
    slowdown = np.where(counted, bounded_slowdown(schedule), 0.0)
    columns: dict[str, object] = {
        "policy": policy,
        "workload": workload,
        "block": np.arange(blocks),
        "jobs": number.astype(int),
        "completed": total((schedule.completed & inside).astype(float)).astype(int),
        "running": total((schedule.running & inside).astype(float)).astype(int),
        "queued": total((schedule.queued & inside).astype(float)).astype(int),
        "weight": weights,
        "jct_s": total(jct) / np.maximum(number, 1),
        "weighted_jct_s": total(jct * weight) / np.where(weights > 0, weights, 1),
        "block_slowdown": total(slowdown) / np.maximum(number, 1),
        "details": details_of(schedule, cluster, block, counted, blocks),
    }
    whole = {**measures(schedule, inside), "lower_bound_jct_s": bound}
    columns |= {f"run_{name}": whole[name] for name in RUN_COLUMNS}
    return pd.DataFrame(columns)[list(BLOCK_COLUMNS)]


def summarize(episodes: pd.DataFrame) -> pd.DataFrame:
    """One row per policy and workload with the columns `SUMMARY` and the number of blocks."""
    import pandas as pd

    rows = []
    for (policy, workload), group in episodes.groupby(["policy", "workload"], sort=False):
        row: dict[str, object] = {"policy": policy, "workload": workload, "episodes": len(group)}
        row |= {name: int(group[name].sum()) for name in ("completed", "running", "queued")}
        rows.append(row | {name: group[f"run_{name}"].iloc[0] for name in RUN_COLUMNS})
    return pd.DataFrame(rows, columns=["policy", "workload", "episodes", *SUMMARY[2:]])


def summary_text(summary: pd.DataFrame) -> str:
    """The summary for a terminal, the earliest completion first within each workload."""
    ordered = summary.sort_values("weighted_jct_s", kind="stable").sort_values("workload", kind="stable")
    names = (
        *("policy", "workload", "completed", "running", "queued", "weighted_jct_s", "avg_jct_s", "p95_jct_s"),
        *("bounded_slowdown", "utilization", "makespan_s", "lower_bound_jct_s"),
    )
    return format_table(names, [tuple(row) for row in ordered[list(names)].itertuples(index=False)])


def estimate(episodes: pd.DataFrame, resamples: Resamples) -> dict[str, Numbers]:
    """(1 + R,) values of the statistics over blocks."""
    jobs, weight = episodes["jobs"].to_numpy(float), episodes["weight"].to_numpy(float)
    number = np.maximum(resamples.means(jobs), 1e-300)
    weights = np.maximum(resamples.means(weight), 1e-300)
    return {
        "weighted_jct_s": resamples.means(weight * episodes["weighted_jct_s"].to_numpy()) / weights,
        "avg_jct_s": resamples.means(jobs * episodes["jct_s"].to_numpy()) / number,
        "bounded_slowdown": resamples.means(jobs * episodes["block_slowdown"].to_numpy()) / number,
        "completion_rate": resamples.means(episodes["completed"].to_numpy(float)) / number,
    }


def job_table(schedule: Schedule, cluster: Cluster, policy: str, workload: str) -> pd.DataFrame:
    """One row per job: when it arrived, started and ended, and on how many GPUs of each type."""
    import pandas as pd

    jobs = schedule.jobs
    columns: dict[str, object] = {
        "policy": policy,
        "workload": workload,
        "job_id": jobs.number,
        "user_id": jobs.user,
        "arrival": jobs.arrival,
        "start": schedule.start,
        "finish": schedule.finish,
        "runtime": jobs.runtime,
        "gpus": jobs.gpus,
        "priority": jobs.priority,
        "flops": jobs.flops,
        "jct": schedule.finish - jobs.arrival,
        "wait_time": schedule.start - jobs.arrival,
        "interruptions": np.zeros(len(jobs), int) if schedule.cuts is None else schedule.cuts,
    }
    for index, each in enumerate(cluster.ordered):
        columns[f"gpus_{each.name}"] = schedule.taken[:, index]
    return pd.DataFrame(columns)
