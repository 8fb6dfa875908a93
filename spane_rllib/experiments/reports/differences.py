"""How far the evaluated policies are apart, with paired block-bootstrap intervals as `compare` has them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from spane_rllib.core.bootstrap import Resamples
from spane_rllib.core.markdown import table
from spane_rllib.experiments.studies.comparison import compare, estimate, no_interval
from spane_rllib.problems.problem import Problem

RESAMPLES = 2000


def differences(problem: Problem, episodes: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """Every policy against the reference on each case, the columns of `comparison.comparison_columns`.

    A is the reference: the problem's where it was evaluated, else the best baseline; B the policy. Empty
    without any baseline.
    """
    frames = []
    for _, of_case in episodes.groupby(problem.case, sort=True):
        reference = _reference(problem, of_case, set(trials["trial"]))
        if reference is None:
            continue
        groups = dict(list(of_case.groupby("policy", sort=False)))
        pairs = np.sort(groups[reference][problem.pair].to_numpy())
        resamples = Resamples.draw(pairs, RESAMPLES, 0, problem.statistics.block_rows)
        a = estimate(problem, groups.pop(reference), resamples)
        frames += [compare(problem, a, estimate(problem, group, resamples)) for group in groups.values()]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _reference(problem: Problem, episodes: pd.DataFrame, learned: set[str]) -> str | None:
    statistics = problem.statistics
    baselines = episodes[~episodes["policy"].isin(learned)]
    if baselines.empty:
        return None
    if statistics.reference in set(baselines["policy"]):
        return statistics.reference
    summary = problem.summarize(baselines)
    ordered = summary.sort_values(statistics.headline, ascending=statistics.better == "less", kind="stable")
    return str(ordered["policy"].iloc[0])


def differences_text(problem: Problem, found: pd.DataFrame) -> Iterator[str]:
    """What the report says of them: the headline of every policy, best first."""
    if found.empty:
        return
    statistics = problem.statistics
    headline = statistics.by_name[statistics.headline]
    yield "## Differences"
    yield (
        f"{headline.title}, policy - reference, on the same episodes; 95% intervals from {RESAMPLES:,} "
        f"bootstrap resamples of blocks of {statistics.block_rows:,} {statistics.blocks}. An interval "
        "without 0 is significant; of many policies some are so by chance. All statistics: `comparisons.csv`."
    )
    shown = found[found["statistic"] == statistics.headline]
    sign = 1 if statistics.better == "less" else -1
    rows = []
    for _, row in shown.iloc[np.argsort(shown["value_b"] * sign, kind="stable")].iterrows():
        known = np.isfinite(row["difference_low"])
        low, high = (headline.show(row[name]) for name in ("difference_low", "difference_high"))
        better = (row["difference_low"] > 0) - (row["difference_high"] < 0) if known else 0
        verdict = {0: "no", sign: "worse", -sign: "better"}[int(better)]
        rows.append(
            (
                *(row["b"], row["a"], row[problem.case], headline.show(row["value_b"])),
                *(headline.show(row["difference"]), f"{low} to {high}" if known else "n/a"),
                verdict if known else "n/a",
            )
        )
    header = (
        "policy",
        "reference",
        problem.case,
        headline.title,
        "difference",
        "95% interval",
        "significant",
    )
    yield table(header, sorted(rows, key=lambda row: str(row[2]).rjust(20)), text_columns=2)
    if shown["difference_low"].isna().any():
        yield no_interval(statistics)
