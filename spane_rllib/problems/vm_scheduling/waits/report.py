"""What a report says of evaluated waits: what is noteworthy, and figures."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from spane_rllib.core.bootstrap import Resamples, interval
from spane_rllib.core.plotting import HEURISTIC_COLOUR, PALETTE
from spane_rllib.problems.vm_scheduling.waits.figures import trimmed_means, wait_distribution
from spane_rllib.problems.vm_scheduling.waits.reading import read_results


def report(
    episodes: pd.DataFrame, summary: pd.DataFrame, trials: pd.DataFrame
) -> Iterator[str | tuple[str, Figure]]:
    """What the report says of waits: figures and what one reads in them."""
    method_of = dict(zip(trials["trial"], trials["method"], strict=True))
    best_trials = list(trials.loc[trials["rank"] == 1, "trial"])
    yield "## Reading"
    yield from read_results(summary, episodes, method_of, best_trials)
    methods = dict(zip(trials["method"].unique(), cycle(PALETTE)))
    colours = {policy: methods.get(method_of.get(policy)) for policy in episodes["policy"].unique()}
    ordered = summary.sort_values("trimmed_mean_10_s", kind="stable")
    legend = [Patch(color=colour, label=method) for method, colour in methods.items()]
    legend.append(Patch(color=HEURISTIC_COLOUR, label="heuristic"))
    yield "wait_distribution", wait_distribution(episodes, ordered, colours, legend)
    yield "trimmed_means", trimmed_means(ordered, colours, legend, _intervals(episodes))


def _intervals(episodes: pd.DataFrame) -> dict[tuple[str, int], tuple[float, float]]:
    """The 95% interval of the 10% trimmed mean by policy and servers, NaN where episodes lie in one block."""
    found = {}
    for (policy, servers), group in episodes.groupby(["policy", "servers"]):
        ordered = group.sort_values("start", kind="stable")
        resamples = Resamples.draw(ordered["start"])
        [waits] = resamples.trimmed_means(ordered["total_wait_s"].to_numpy(float), (0.1,))
        found[str(policy), int(servers)] = interval(waits)
    return found
