"""What a report says of evaluated allocations: every policy beside the heuristic that places most."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from spane_rllib.core.markdown import table
from spane_rllib.problems.vm_scheduling.allocations.comparison import compare_allocations, verdict

_COMPARED = (
    "policy",
    "method",
    "seed",
    "validation",
    "VMs",
    "difference",
    "95% interval",
    "more",
    "fewer",
    "",
)


def report(
    episodes: pd.DataFrame, summary: pd.DataFrame, trials: pd.DataFrame
) -> Iterator[str | tuple[str, pd.DataFrame]]:
    """What the report says of allocations: on every size, learned policies beside the best heuristic."""
    learned = set(trials["trial"])
    comparisons = []
    for servers, group in episodes.groupby("servers"):
        means = summary[summary["servers"] == servers].set_index("policy")["allocations_mean"]
        heuristics = means.drop([name for name in means.index if name in learned])
        if len(heuristics) and len(means) > 1:
            comparisons.append(compare_allocations(group, str(heuristics.idxmax())))
    for comparison in comparisons:
        yield from _compared(comparison, trials)
    if comparisons:
        yield "comparison", pd.concat(comparisons, ignore_index=True)


def _compared(comparison: pd.DataFrame, trials: pd.DataFrame) -> Iterator[str]:
    first = comparison.iloc[0]
    yield f"## Allocations on {first['servers']} servers"
    yield (
        f"Mean over {first['episodes']:,} episodes, and the difference to the heuristic that places most on "
        f"these very episodes, `{first['reference']}` with {first['reference_allocations']:,.1f} VMs. "
        "Intervals are 95% percentile intervals of resampled blocks of start rows, the same for every "
        "policy; `more` and `fewer` count the episodes in which a policy places more or fewer VMs than it."
    )
    known = trials.set_index("trial")
    rows = []
    for _, row in comparison.iterrows():
        of_trial = ("heuristic", "", "")
        if row["policy"] in known.index:
            trial = known.loc[row["policy"]]
            of_trial = trial["method"], trial["seed"], f"{trial['best_validation_allocations']:,.1f}"
        rows.append(
            (
                row["policy"],
                *of_trial,
                f"{row['allocations']:,.1f}",
                f"{row['difference']:+,.2f}",
                f"{row['difference_low']:+,.2f} to {row['difference_high']:+,.2f}",
                row["more"],
                row["fewer"],
                verdict(row),
            )
        )
    yield table(_COMPARED, rows, text_columns=2)
