"""Statistics of the waits of episodes, of a sample of episodes and of resamples of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spane_rllib.core.bootstrap import Numbers, Resamples
from spane_rllib.problems.vm_scheduling.reference_cluster import VM_SIZES
from spane_rllib.problems.vm_scheduling.settings import CATASTROPHE_S

if TYPE_CHECKING:
    import pandas as pd


def wait_statistics(waits: npt.ArrayLike, bounds: npt.ArrayLike, resamples: Resamples) -> dict[str, Numbers]:
    """(1 + R,) values of statistics of `WaitProblem`, of the sample and of each resample.

    Args:
        waits: (E,) total wait of each episode, seconds.
        bounds: (E,) lower bounds on them, seconds.
        resamples: of these episodes, in the same order.

    A gap is a statistic of the waits over the same one of the bounds: 1 where both are zero.
    `lower_bound_trimmed_mean_10_s` is there too.
    """
    waits, bounds = np.asarray(waits, np.float64), np.asarray(bounds, np.float64)
    trim_05, trim_10, trim_20, median = resamples.trimmed_means(waits, (0.05, 0.1, 0.2, 0.5))
    [bound] = resamples.trimmed_means(bounds, (0.1,))
    mean = resamples.means(waits)
    return {
        "trimmed_mean_05_s": trim_05,
        "trimmed_mean_10_s": trim_10,
        "trimmed_mean_20_s": trim_20,
        "mean_s": mean,
        "median_s": median,
        "mean_log1p": resamples.means(np.log1p(waits)),
        "catastrophe_rate": resamples.means(waits > CATASTROPHE_S),
        "zero_wait_rate": resamples.means(waits == 0),
        "lower_bound_trimmed_mean_10_s": bound,
        "gap_trimmed_mean_10": _gap(trim_10, bound),
        "gap_mean": _gap(mean, resamples.means(bounds)),
    }


def fairness_statistics(episodes: pd.DataFrame, resamples: Resamples) -> dict[str, Numbers]:
    """(1 + R,) values of what says who waits, as `wait_statistics`, of E episodes with their columns.

    The mean wait of VMs of a size is over all VMs of the episodes, and 0 where there are none.
    """

    def column(name: str) -> Numbers:
        return episodes[name].to_numpy(np.float64)

    def per(total: Numbers, of: Numbers) -> Numbers:
        sums, counts = resamples.means(total), resamples.means(of)
        return np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)

    vms = {size: column(f"vms_{size}") for size in VM_SIZES}

    return {
        "longest_wait_p99_s": resamples.quantiles(column("max_wait_s"), 0.99),
        "overtaken_rate": per(column("overtaken"), np.sum(list(vms.values()), axis=0)),
        "passes_per_overtaken": per(column("passes"), column("overtaken")),
        **{f"mean_wait_{size}_s": per(column(f"wait_{size}_s"), vms[size]) for size in VM_SIZES},
    }


def _gap(waits: Numbers, bounds: Numbers) -> Numbers:
    without_wait = np.where(waits == 0, 1.0, np.inf)
    return np.divide(waits, bounds, out=without_wait, where=bounds > 0)


def all_statistics(episodes: pd.DataFrame, resamples: Resamples) -> dict[str, Numbers]:
    """`wait_statistics` and `fairness_statistics` of E episodes."""
    waits = wait_statistics(episodes["total_wait_s"], episodes["lower_bound_s"], resamples)
    return waits | fairness_statistics(episodes, resamples)
