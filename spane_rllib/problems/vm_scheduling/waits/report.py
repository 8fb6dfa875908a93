"""What a report says of evaluated waits: what is noteworthy, and figures."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from spane_rllib.core.plotting import HEURISTIC_COLOUR, PALETTE
from spane_rllib.problems.vm_scheduling.settings import CATASTROPHE_S
from spane_rllib.problems.vm_scheduling.waits.figures import trimmed_means, wait_distribution
from spane_rllib.problems.vm_scheduling.waits.reading import read_results


def report(
    episodes: pd.DataFrame, summary: pd.DataFrame, trials: pd.DataFrame
) -> Iterator[str | tuple[str, Figure]]:
    """See `Problem.report`."""
    method_of = dict(zip(trials["trial"], trials["method"], strict=True))
    best_trials = list(trials.loc[trials["rank"] == 1, "trial"])
    yield "## Reading"
    yield from read_results(summary, episodes, method_of, best_trials)
    yield (
        "Waits below are the total wait of an episode in seconds. A trimmed mean drops the named share of "
        f"episodes at each end; a catastrophe is an episode with more than {CATASTROPHE_S:,.0f} s; the lower "
        "bound holds for every policy without migration; mean log1p is the mean of log(1 + total wait)."
    )
    methods = dict(zip(trials["method"].unique(), cycle(PALETTE)))
    colours = {policy: methods.get(method_of.get(policy)) for policy in episodes["policy"].unique()}
    ordered = summary.sort_values("trimmed_mean_10_s", kind="stable")
    legend = [Patch(color=colour, label=method) for method, colour in methods.items()]
    legend.append(Patch(color=HEURISTIC_COLOUR, label="heuristic"))
    yield "wait_distribution", wait_distribution(episodes, ordered, colours, legend)
    yield "trimmed_means", trimmed_means(ordered, colours, legend)
