"""The tables of a study: every policy, groups of models, and comparisons with the reference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from spane_rllib.core.bootstrap import Numbers, interval
from spane_rllib.experiments.studies.comparison import Estimate, compare, comparison_columns
from spane_rllib.experiments.studies.models import Group, StudyPolicies
from spane_rllib.problems.problem import Case, Problem

_DROPPED = 2
"""Models left out at each end of the published mean over 11 models."""


def summary_table(estimates: Iterable[Estimate], policies: StudyPolicies) -> pd.DataFrame:
    """One row per policy and case.

    Columns: policy, group, validation_rank (from 1, where known), the case, episodes, each statistic with
    `_low` and `_high` for its interval, and what else `Problem.estimate` knows.
    """
    problem = policies.task.problem
    ranks = {
        name: rank
        for group in policies.groups
        if group.ranked
        for rank, name in enumerate(group.policies, start=1)
    }
    return pd.DataFrame(
        {
            "policy": estimate.policy,
            "group": policies.group_of(estimate.policy),
            "validation_rank": ranks.get(estimate.policy),
            problem.case: estimate.case,
            "episodes": len(estimate.values),
            **_with_intervals(problem, estimate.statistics),
            **{
                name: values[0]
                for name, values in estimate.statistics.items()
                if name not in problem.statistics.by_name
            },
        }
        for estimate in estimates
    )


def group_table(
    problem: Problem, estimates: Iterable[Estimate], groups: Sequence[Group], top: Sequence[int]
) -> pd.DataFrame:
    """Means over the models of each group, one row per selection of them and case.

    Columns: group, selection, the case, models (how many are averaged), each statistic with `_low` and
    `_high`. A selection is left out where one of its models does not play that case.
    """
    by_case: dict[Case, dict[str, Mapping[str, Numbers]]] = {}
    for estimate in estimates:
        by_case.setdefault(estimate.case, {})[estimate.policy] = estimate.statistics
    rows = []
    for case, statistics in by_case.items():
        for group in groups:
            for label, names, dropped in selections(group, top):
                if not statistics.keys() >= set(names):
                    continue
                means = {
                    key: _mean(np.stack([statistics[name][key] for name in names]), dropped)
                    for key in problem.statistics.by_name
                }
                rows.append(
                    {
                        "group": group.name,
                        "selection": label,
                        problem.case: case,
                        "models": len(names) - 2 * dropped,
                        **_with_intervals(problem, means),
                    }
                )
    return pd.DataFrame(rows, columns=list(rows[0]) if rows else ["group", "selection", problem.case])


def selections(group: Group, top: Sequence[int]) -> Iterator[tuple[str, tuple[str, ...], int]]:
    """Label, models, and how many are dropped at each end, for every mean over `group`."""
    for count in top:
        if count > len(group.policies):
            continue
        best = group.policies[:count]
        if group.ranked:
            yield f"best {count} by validation", best, 0
        # All of them are the best ones, whatever the order.
        if count > 2 * _DROPPED and (group.ranked or count == len(group.policies)):
            yield f"{count}-model trimmed (drop {_DROPPED}+{_DROPPED})", best, _DROPPED
    yield "all", group.policies, 0


def comparison_table(problem: Problem, estimates: Iterable[Estimate], reference: str) -> pd.DataFrame:
    """`compare` of every policy, B, with the reference, A, where that plays the case."""
    estimates = list(estimates)
    references = {estimate.case: estimate for estimate in estimates if estimate.policy == reference}
    frames = [
        compare(problem, references[estimate.case], estimate)
        for estimate in estimates
        if estimate.policy != reference and estimate.case in references
    ]
    return (
        pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=comparison_columns(problem))
    )


def _mean(values: Numbers, dropped: int) -> Numbers:
    """(1 + R,) means over the models, (models, 1 + R), without the `dropped` least and largest of each."""
    ordered = np.sort(values, axis=0)
    mean: Numbers = ordered[dropped : len(ordered) - dropped].mean(axis=0)
    return mean


def _with_intervals(problem: Problem, statistics: Mapping[str, Numbers]) -> dict[str, float]:
    row: dict[str, float] = {}
    for name in problem.statistics.by_name:
        low, high = interval(statistics[name])
        row |= {name: float(statistics[name][0]), f"{name}_low": low, f"{name}_high": high}
    return row
