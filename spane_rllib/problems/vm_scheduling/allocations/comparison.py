"""Paired differences in allocations between policies on the same starts, with bootstrap intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spane_rllib.core.bootstrap import Resamples, interval

if TYPE_CHECKING:
    import pandas as pd

COMPARISON_COLUMNS = (
    *("policy", "reference", "servers", "episodes", "allocations", "reference_allocations"),
    *("difference", "difference_low", "difference_high", "more", "equal", "fewer"),
)


def compare_allocations(episodes: pd.DataFrame, reference: str) -> pd.DataFrame:
    """One row for each policy but `reference`, with the columns `COMPARISON_COLUMNS`, most allocations first.

    Differences are the policy's mean less that of the reference; the interval (95 %, of block-bootstrap
    resamples) is NaN where the episodes lie in one block. `more`, `equal` and `fewer` count the episodes in
    which the policy places more VMs, as many, or fewer.

    Args:
        episodes: `evaluation.EPISODE_COLUMNS`, the same starts for every policy, one number of servers.
        reference: one of the policies.
    """
    import pandas as pd

    table = episodes.pivot_table(index="start", columns="policy", values="allocations").sort_index()
    servers = int(episodes["servers"].iloc[0])
    resamples = Resamples.draw(table.index.to_numpy())
    rows = []
    for policy in table.columns.drop(reference):
        apart = (table[policy] - table[reference]).to_numpy()
        means = resamples.means(apart)
        counts = [int(np.count_nonzero(np.sign(apart) == sign)) for sign in (1, 0, -1)]
        known = (float(table[name].mean()) for name in (policy, reference))
        rows.append(
            (policy, reference, servers, len(apart), *known, float(means[0]), *interval(means), *counts)
        )
    comparison = pd.DataFrame(rows, columns=list(COMPARISON_COLUMNS))
    return comparison.sort_values("difference", ascending=False, kind="stable", ignore_index=True)


def verdict(row: pd.Series) -> str:
    """Whether the difference of one row is more than luck."""
    if row["difference_low"] > 0:
        return "more"
    if row["difference_high"] < 0:
        return "fewer"
    return "no interval" if np.isnan(row["difference_low"]) else "not significant"
