"""Paired comparison of two policies that have played the same episodes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spane_rllib.core.bootstrap import Counts, Numbers, Resamples, interval
from spane_rllib.problems.measures import Statistics
from spane_rllib.problems.problem import Case, Problem

if TYPE_CHECKING:
    import pandas as pd

COMPARISON_HEADER = ("statistic", "A", "B", "B - A", "95% interval", "A better")


def comparison_columns(problem: Problem) -> list[str]:
    """Columns of the table that `compare` makes."""
    return [
        *(problem.case, "a", "b", "statistic", "value_a", "value_b"),
        *("difference", "difference_low", "difference_high", "a_better_share", "a_wins", "ties", "b_wins"),
    ]


def no_interval(statistics: Statistics) -> str:
    """Why there is none."""
    return f"No interval: the episodes lie in one block of {statistics.blocks}."


@dataclass(frozen=True)
class Estimate:
    """What the episodes of one policy on one case show.

    Args:
        policy: its name.
        case: on what it has played.
        pairs: (E,) `Problem.pair` of the episodes, ascending.
        values: (E,) what is compared episode by episode.
        statistics: `Problem.estimate` of them.
    """

    policy: str
    case: Case
    pairs: Counts
    values: Numbers
    statistics: dict[str, Numbers]


def estimate(problem: Problem, episodes: pd.DataFrame, resamples: Resamples) -> Estimate:
    """Statistics of the episodes of one policy on one case, in any order.

    `resamples` are those of the pairs in ascending order.
    """
    ordered = episodes.sort_values(problem.pair, kind="stable")
    first = ordered.iloc[0]
    return Estimate(
        policy=str(first["policy"]),
        case=first[problem.case],
        pairs=ordered[problem.pair].to_numpy(),
        values=ordered[problem.statistics.value].to_numpy(np.float64),
        statistics=problem.estimate(ordered, resamples),
    )


def compare(problem: Problem, a: Estimate, b: Estimate) -> pd.DataFrame:
    """One row per statistic with the columns `comparison_columns`; differences are B - A.

    The intervals and `a_better_share`, the share of resamples in which A is strictly better, are NaN where
    the episodes lie in one block, so that nothing can be resampled; the share also where neither is better.

    Raises:
        ValueError: the two have not played the same episodes.
    """
    import pandas as pd

    if a.case != b.case or not np.array_equal(a.pairs, b.pairs):
        raise ValueError(f"{a.policy} and {b.policy} have played different episodes")
    statistics = problem.statistics
    better = {"less": 1, "more": -1, None: np.nan}
    behind = (b.values - a.values) * better[statistics.better]
    ties = int((np.abs(behind) <= statistics.tie).sum())
    a_wins = int((behind > statistics.tie).sum())
    rows = []
    for name, statistic in statistics.by_name.items():
        one, other = a.statistics[name], b.statistics[name]
        # A gap is infinite where the bound is zero and the value is not.
        difference = np.subtract(other, one, out=np.full_like(one, np.nan), where=np.isfinite(one + other))
        low, high = interval(difference)
        known = np.isfinite(low) and statistic.better is not None
        rows.append(
            (
                *(a.case, a.policy, b.policy, name, one[0], other[0], difference[0], low, high),
                (difference[1:] * better[statistic.better] > 0).mean() if known else np.nan,
                *(a_wins, ties, len(behind) - ties - a_wins),
            )
        )
    return pd.DataFrame(rows, columns=comparison_columns(problem))


def comparison_rows(statistics: Statistics, comparison: pd.DataFrame) -> list[tuple[str, ...]]:
    """The rows of a table with the header `COMPARISON_HEADER`."""
    rows: list[tuple[str, ...]] = []
    for row in comparison.itertuples():
        statistic = statistics.by_name[str(row.statistic)]
        a, b, difference, low, high = map(
            statistic.show,
            (row.value_a, row.value_b, row.difference, row.difference_low, row.difference_high),
        )
        span = "n/a" if low == "n/a" else f"{low} to {high}"
        share = "n/a" if np.isnan(row.a_better_share) else f"{row.a_better_share:.1%}"
        rows.append((statistic.title, a, b, difference, span, share))
    return rows


def episode_counts(statistics: Statistics, comparison: pd.DataFrame) -> str:
    """Wins, ties and losses in one sentence."""
    row, (better, equal, worse) = comparison.iloc[0], statistics.verbs
    return (
        f"Episode by episode: {row['a']} {better} in {row['a_wins']:,}, {equal} in {row['ties']:,}, {worse} "
        f"in {row['b_wins']:,} of {row[['a_wins', 'ties', 'b_wins']].sum():,}."
    )


def verdict(statistics: Statistics, comparison: pd.DataFrame) -> str:
    """Which policy is better by which statistics, and where that is significant, in one line."""
    better = {
        name: -1 if statistic.better == "more" else 1
        for name, statistic in statistics.by_name.items()
        if statistic.better is not None and not statistic.derived
    }
    rows = comparison[comparison["statistic"].isin(list(better))]
    end = f" {no_interval(statistics)}" if rows["difference_low"].isna().any() else ""
    signs = rows["statistic"].map(better)
    low, high = rows["difference_low"] * signs, rows["difference_high"] * signs
    lowest, highest = np.minimum(low, high), np.maximum(low, high)

    def names(chosen: Iterable[str]) -> str:
        return ", ".join(statistics.by_name[name].name for name in chosen)

    parts = []
    for policy, ahead, significant in (
        (rows["a"].iloc[0], rows["difference"] * signs > 0, lowest > 0),
        (rows["b"].iloc[0], rows["difference"] * signs < 0, highest < 0),
    ):
        if not ahead.any():
            continue
        text = f"{policy} is better by {names(rows.loc[ahead, 'statistic'])}"
        sure = rows.loc[ahead & significant, "statistic"]
        if not end:
            which = "all" if len(sure) == ahead.sum() else names(sure) or "none"
            text += f" (significant at 95%: {which})"
        parts.append(text)
    return ("; ".join(parts) or "The two are equal") + "." + end
