"""Wait-time evaluation: the episode table and the summary table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spane_rllib.core.bootstrap import Resamples
from spane_rllib.core.console import format_table
from spane_rllib.core.errors import UserError
from spane_rllib.core.files import replacing
from spane_rllib.problems.vm_scheduling.policies import Policy
from spane_rllib.problems.vm_scheduling.simulator import Cluster, Workload, lower_bounds, probe_vm_counts
from spane_rllib.problems.vm_scheduling.waits.statistics import wait_statistics

if TYPE_CHECKING:
    import pandas as pd

EPISODE_COLUMNS = (
    "policy",
    "servers",
    "start",
    "vm_count",
    "total_wait_s",
    "mean_wait_s",
    "max_wait_s",
    "return",
    "lower_bound_s",
)
SUMMARY_COLUMNS = (
    "policy",
    "servers",
    "episodes",
    "trimmed_mean_05_s",
    "trimmed_mean_10_s",
    "trimmed_mean_20_s",
    "mean_s",
    "median_s",
    "mean_log1p",
    "catastrophe_rate",
    "zero_wait_rate",
    "lower_bound_trimmed_mean_10_s",
    "gap_trimmed_mean_10",
    "gap_mean",
)
_REMEDY = "delete it, and --resume makes it again"


def evaluate_policy(
    policy: Policy,
    workload: Workload,
    cluster: Cluster,
    starts: npt.NDArray[np.int64],
    seed: int = 0,
    bounds: npt.NDArray[np.float64] | None = None,
) -> pd.DataFrame:
    """Run `policy` from every start; one row per episode with the columns `EPISODE_COLUMNS`.

    `bounds` are the lower bounds of the same starts where they are known already.
    """
    import pandas as pd

    vm_counts = probe_vm_counts(workload, cluster, starts)
    results = policy.run(workload, cluster, starts, vm_counts, seed)
    if bounds is None:
        bounds = lower_bounds(workload, cluster, starts, vm_counts)
    columns = (
        policy.name,
        cluster.servers,
        starts,
        vm_counts,
        results.total_wait,
        results.total_wait / results.placed,
        results.max_wait,
        results.episode_return,
        bounds,
    )
    return pd.DataFrame(dict(zip(EPISODE_COLUMNS, columns, strict=True)))


def summarize(episodes: pd.DataFrame) -> pd.DataFrame:
    """One row per policy and number of servers with the columns `SUMMARY_COLUMNS`, in order of appearance."""
    import pandas as pd

    rows = []
    for (policy, servers), group in episodes.groupby(["policy", "servers"], sort=False):
        values = wait_statistics(group["total_wait_s"], group["lower_bound_s"], Resamples.none(len(group)))
        row = {"policy": policy, "servers": servers, "episodes": len(group)}
        rows.append(row | {name: float(value[0]) for name, value in values.items()})
    return pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS))


def summary_table(summary: pd.DataFrame) -> str:
    """The summary as text, best trimmed mean first within each number of servers."""
    header = (
        "policy",
        "servers",
        "episodes",
        "trim 5%",
        "trim 10%",
        "trim 20%",
        "mean s",
        "median s",
        "log1p",
        "catastrophes",
        "zero wait",
        "bound 10%",
        "10% / bound",
        "mean / bound",
    )
    ordered = summary.sort_values(["servers", "trimmed_mean_10_s"], kind="stable")
    rows = [tuple(row) for row in ordered.itertuples(index=False)]
    return format_table(header, rows)


def read_episodes(file: Path) -> pd.DataFrame:
    """A table of episodes with the columns `EPISODE_COLUMNS`; a `UserError` when it is none.

    Numbers are exactly those that were written.
    """
    return _read_table(file, EPISODE_COLUMNS)


def read_summary(directory: Path) -> pd.DataFrame:
    """The `summary.csv` that `write_tables` wrote; a `UserError` when it is damaged."""
    return _read_table(directory / "summary.csv", SUMMARY_COLUMNS)


def _read_table(file: Path, columns: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    counts = ("servers", "start", "vm_count", "episodes")
    types = {"policy": "str"} | {name: "int64" for name in columns if name in counts}
    # pandas' own parser of numbers is fast and may be off by one unit in the last place.
    exact = {name: float for name in columns if name not in types}
    try:
        with np.errstate(invalid="ignore"):  # an infinite count is refused, not warned of
            table = pd.read_csv(file, dtype=types, converters=exact)
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}") from error
    except (ValueError, OverflowError) as error:
        raise UserError(f"{file} is damaged ({error}); {_REMEDY}") from error
    if missing := [name for name in columns if name not in table]:
        raise UserError(f"{file} is damaged (no column {missing[0]}); {_REMEDY}")
    if table.empty or table[list(columns)].isna().any(axis=None):
        raise UserError(f"{file} is damaged (no rows, or values are missing); {_REMEDY}")
    return table


def write_tables(directory: Path, episodes: pd.DataFrame, summary: pd.DataFrame) -> None:
    """Write `episodes.csv` and `summary.csv`, each in one step."""
    for name, frame in (("episodes.csv", episodes), ("summary.csv", summary)):
        with replacing(directory / name) as temporary:
            frame.to_csv(temporary, index=False)
