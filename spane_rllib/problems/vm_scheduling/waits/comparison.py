"""Paired comparison of two policies that have played the same episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spane_rllib.core.bootstrap import Counts, Numbers, Resamples, interval
from spane_rllib.problems.vm_scheduling.waits.statistics import STATISTICS, statistic_text, wait_statistics

if TYPE_CHECKING:
    import pandas as pd

TIE_S = 1e-6
"""Waits of an episode that differ by no more, in seconds, are equal."""

COMPARISON_COLUMNS = (
    *("servers", "a", "b", "statistic", "value_a", "value_b"),
    *("difference", "difference_low", "difference_high", "a_better_share", "a_wins", "ties", "b_wins"),
)
NO_INTERVAL = "No interval: the episodes lie in one block of start rows."
COMPARISON_HEADER = ("statistic", "A", "B", "B - A", "95% interval", "A better")


@dataclass(frozen=True)
class Estimate:
    """What the episodes of one policy on one number of servers show.

    Args:
        policy: its name.
        servers: number of servers.
        starts: (E,) rows at which the episodes begin, ascending.
        waits: (E,) total waits, seconds.
        statistics: `wait_statistics` of them.
    """

    policy: str
    servers: int
    starts: Counts
    waits: Numbers
    statistics: dict[str, Numbers]


def estimate(episodes: pd.DataFrame, resamples: Resamples) -> Estimate:
    """Statistics of the episodes of one policy on one number of servers, in any order.

    `resamples` are those of the starts in ascending order.
    """
    ordered = episodes.sort_values("start", kind="stable")
    waits, bounds = (ordered[name].to_numpy() for name in ("total_wait_s", "lower_bound_s"))
    return Estimate(
        policy=str(ordered["policy"].iloc[0]),
        servers=int(ordered["servers"].iloc[0]),
        starts=ordered["start"].to_numpy(),
        waits=waits,
        statistics=wait_statistics(waits, bounds, resamples),
    )


def compare(a: Estimate, b: Estimate) -> pd.DataFrame:
    """One row per statistic with the columns `COMPARISON_COLUMNS`; differences are B - A.

    The intervals and `a_better_share`, the share of resamples in which A is strictly better, are NaN where
    the episodes lie in one block, so that nothing can be resampled.

    Raises:
        ValueError: the two have not played the same episodes.
    """
    import pandas as pd

    if a.servers != b.servers or not np.array_equal(a.starts, b.starts):
        raise ValueError(f"{a.policy} and {b.policy} have played different episodes")
    apart = b.waits - a.waits
    ties = int((np.abs(apart) <= TIE_S).sum())
    a_wins = int((apart > TIE_S).sum())
    rows = []
    for name in STATISTICS:
        one, other = a.statistics[name], b.statistics[name]
        # A gap is infinite where the bound is zero and the wait is not.
        difference = np.subtract(other, one, out=np.full_like(one, np.nan), where=np.isfinite(one + other))
        better = -difference if name == "zero_wait_rate" else difference
        low, high = interval(difference)
        rows.append(
            (
                *(a.servers, a.policy, b.policy, name, one[0], other[0], difference[0], low, high),
                (better[1:] > 0).mean() if np.isfinite(low) else np.nan,
                *(a_wins, ties, len(apart) - ties - a_wins),
            )
        )
    return pd.DataFrame(rows, columns=list(COMPARISON_COLUMNS))


def comparison_rows(comparison: pd.DataFrame) -> list[tuple[str, ...]]:
    """The rows of a table with the header `COMPARISON_HEADER`."""
    rows: list[tuple[str, ...]] = []
    for row in comparison.itertuples():
        name = str(row.statistic)
        a, b, difference, low, high = (
            statistic_text(name, value)
            for value in (row.value_a, row.value_b, row.difference, row.difference_low, row.difference_high)
        )
        span = "n/a" if low == "n/a" else f"{low} to {high}"
        share = "n/a" if np.isnan(row.a_better_share) else f"{row.a_better_share:.1%}"
        rows.append((STATISTICS[name], a, b, difference, span, share))
    return rows


def episode_counts(comparison: pd.DataFrame) -> str:
    """Wins, ties and losses in one sentence."""
    row = comparison.iloc[0]
    return (
        f"Episode by episode: {row['a']} waits less in {row['a_wins']:,}, as long in {row['ties']:,}, longer "
        f"in {row['b_wins']:,} of {row[['a_wins', 'ties', 'b_wins']].sum():,}."
    )


def verdict(comparison: pd.DataFrame) -> str:
    """Which policy waits less by which statistics, and where that is significant, in one line."""
    rows = comparison.drop(comparison.index[comparison["statistic"].str.startswith("gap_")])
    end = f" {NO_INTERVAL}" if rows["difference_low"].isna().any() else ""
    better = np.where(rows["statistic"] == "zero_wait_rate", -1, 1)
    low, high = rows["difference_low"] * better, rows["difference_high"] * better
    lowest, highest = np.minimum(low, high), np.maximum(low, high)
    parts = []
    for name, ahead, significant in (
        (rows["a"].iloc[0], rows["difference"] * better > 0, lowest > 0),
        (rows["b"].iloc[0], rows["difference"] * better < 0, highest < 0),
    ):
        if not ahead.any():
            continue
        text = f"{name} is better by {_titles(rows.loc[ahead, 'statistic'])}"
        sure = rows.loc[ahead & significant, "statistic"]
        if not end:
            which = "all" if len(sure) == ahead.sum() else _titles(sure) or "none"
            text += f" (significant at 95%: {which})"
        parts.append(text)
    return ("; ".join(parts) or "The two are equal") + "." + end


def _titles(statistics: Sequence[str]) -> str:
    return ", ".join(STATISTICS[name].removesuffix(", s") for name in statistics)
