"""What the waits of an experiment show, in sentences that hold whoever comes out best."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from spane_rllib.problems.vm_scheduling.settings import CATASTROPHE_S

_FIRST_FIT = "first-fit"
_MOST_NAMES = 12


def read_results(
    summary: pd.DataFrame, episodes: pd.DataFrame, method_of: Mapping[str, str], best_trials: Sequence[str]
) -> Iterator[str]:
    """Markdown blocks: for each number of servers a heading line and a list of findings.

    Args:
        summary: `vm_scheduling.evaluation.SUMMARY_COLUMNS`.
        episodes: `vm_scheduling.evaluation.EPISODE_COLUMNS`.
        method_of: method of each trial; the policies it does not name are heuristics.
        best_trials: the best trial of each method by validation.
    """
    if summary.empty:
        yield "No policy was evaluated."
    for servers, group in summary.groupby("servers"):
        table = group.set_index("policy").sort_values("trimmed_mean_10_s", kind="stable")
        learned = table.index.isin(list(method_of))
        waits = episodes[episodes["servers"] == servers].pivot_table(
            index="start", columns="policy", values="total_wait_s"
        )
        yield f"On {servers} servers:"
        findings = (
            *_comparison(table[learned], table[~learned], waits, best_trials),
            *_worse_than_first_fit(table, table[learned]),
            *_fragility(table),
        )
        yield "\n".join(f"- {finding}" for finding in findings)


def _comparison(
    learned: pd.DataFrame, heuristics: pd.DataFrame, waits: pd.DataFrame, best_trials: Sequence[str]
) -> Iterator[str]:
    for kind, table in (("learned policy", learned), ("heuristic", heuristics)):
        if table.empty:
            yield f"No {kind} was evaluated."
        else:
            yield f"The best {kind} is {_with_wait(table, table.index[0])}."
    if learned.empty or heuristics.empty:
        return
    one, other = learned.index[0], heuristics.index[0]
    ratio = _ratio(learned, one, heuristics, other)
    yield (
        f"The ratio of the two is {ratio}: {_verdict(learned, heuristics)}. Both were picked on these very "
        "episodes, which flatters them."
    )
    pair = waits[[one, other]].dropna()
    less, more = (pair[one] < pair[other]).mean(), (pair[one] > pair[other]).mean()
    yield (
        f"Episode by episode, `{one}` waits less than `{other}` in {less:.0%}, as long in "
        f"{1 - less - more:.0%} and longer in {more:.0%} of {len(pair):,}."
    )
    shown = [trial for trial in best_trials if trial in learned.index]
    if shown:
        ratios = (f"{_with_wait(learned, t)}, ratio {_ratio(learned, t, heuristics, other)}" for t in shown)
        yield f"The first choice of validation in each method: {'; '.join(ratios)}."


def _verdict(learned: pd.DataFrame, heuristics: pd.DataFrame) -> str:
    one, other = learned["trimmed_mean_10_s"].iloc[0], heuristics["trimmed_mean_10_s"].iloc[0]
    if one == other:
        return "they are equal"
    return "the learned policy waits less" if one < other else "no learned policy beats this heuristic"


def _worse_than_first_fit(table: pd.DataFrame, learned: pd.DataFrame) -> Iterator[str]:
    if learned.empty:
        return
    if _FIRST_FIT not in table.index:
        yield "First Fit was not evaluated."
        return
    limit = table.loc[_FIRST_FIT, "trimmed_mean_10_s"]
    worse = list(learned.index[learned["trimmed_mean_10_s"] > limit])
    which = f": {_names(worse)}" if worse else ""
    yield f"Worse than First Fit ({limit:,.0f} s): {len(worse)} of {len(learned)} learned policies{which}."


def _fragility(table: pd.DataFrame) -> Iterator[str]:
    rates = table["catastrophe_rate"]
    yield (
        f"The trimmed mean is fragile: it drops 10% of the episodes at each end, while {rates.min():.1%} to "
        f"{rates.max():.1%} of them, depending on the policy, are catastrophes of more than "
        f"{CATASTROPHE_S:,.0f} s."
    )
    if rates.max() > 0.1:
        yield (
            f"Where the rate exceeds 10% ({_names(list(table.index[rates > 0.1]))}), some catastrophes stay "
            "in the mean and can decide it."
        )
    measures = {"5% trim": "trimmed_mean_05_s", "20% trim": "trimmed_mean_20_s", "plain mean": "mean_s"}
    best = ", ".join(f"`{table[column].idxmin()}` by the {name}" for name, column in measures.items())
    yield f"The best policy is `{table.index[0]}` by the 10% trim, {best}."


def _with_wait(table: pd.DataFrame, policy: str) -> str:
    return f"`{policy}` with a 10% trimmed mean of {table.loc[policy, 'trimmed_mean_10_s']:,.0f} s"


def _ratio(one: pd.DataFrame, policy: str, other: pd.DataFrame, reference: str) -> str:
    divisor = other.loc[reference, "trimmed_mean_10_s"]
    return f"{one.loc[policy, 'trimmed_mean_10_s'] / divisor:.2f}" if divisor > 0 else "undefined"


def _names(policies: Sequence[str]) -> str:
    names = ", ".join(f"`{name}`" for name in policies[:_MOST_NAMES])
    return names + (f" and {len(policies) - _MOST_NAMES} more" if len(policies) > _MOST_NAMES else "")
