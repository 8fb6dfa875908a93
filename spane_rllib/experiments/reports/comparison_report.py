"""Tables, figures and report of a comparison of two policies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from spane_rllib import __version__
from spane_rllib.core.bootstrap import Resamples
from spane_rllib.core.files import replacing, write_text
from spane_rllib.core.markdown import image, inline, table
from spane_rllib.core.plotting import save
from spane_rllib.experiments.reports.comparison_figures import comparison_figure
from spane_rllib.problems.vm_scheduling.waits.comparison import (
    COMPARISON_HEADER,
    NO_INTERVAL,
    Estimate,
    comparison_rows,
    episode_counts,
    verdict,
)
from spane_rllib.problems.vm_scheduling.waits.statistics import CATASTROPHE_S


def write_comparison(
    directory: Path,
    pairs: Sequence[tuple[Estimate, Estimate, pd.DataFrame]],
    episodes: pd.DataFrame,
    resamples: Resamples,
    description: str,
) -> None:
    """Write `comparison.csv`, `episodes.csv`, `report.md` and a figure per number of servers.

    Args:
        directory: receives them; made if absent.
        pairs: A, B and `comparison.compare` of them, one for each number of servers.
        episodes: `evaluation.EPISODE_COLUMNS` of all of them.
        resamples: what the intervals are from.
        description: what was played, one line.
    """
    comparisons = pd.concat([comparison for _, _, comparison in pairs], ignore_index=True)
    for name, frame in (("comparison.csv", comparisons), ("episodes.csv", episodes)):
        with replacing(directory / name) as temporary:
            frame.to_csv(temporary, index=False)
    first, second, _ = pairs[0]
    blocks = [
        f"# A: {inline(first.policy)}, B: {inline(second.policy)}",
        f"spane_rllib {__version__}. {inline(description)}",
        f"Both played the same {len(first.waits):,} episodes. {bootstrap_text(resamples)}",
    ]
    for a, b, comparison in pairs:
        figure = save(comparison_figure(a, b), directory / f"comparison-{a.servers}-servers.png")
        blocks += [
            f"## {a.servers} servers",
            inline(verdict(comparison)),
            inline(episode_counts(comparison)),
            table(COMPARISON_HEADER, comparison_rows(comparison)),
            image(figure, directory),
        ]
    write_text(directory / "report.md", "\n\n".join(blocks) + "\n")


def bootstrap_text(resamples: Resamples) -> str:
    """How the intervals of a report came about and what the statistics are."""
    drawn, blocks = len(resamples.counts) - 1, resamples.counts.shape[1]
    intervals = (
        f"Intervals are 95% percentile intervals from {drawn:,} resamples of the {blocks:,} blocks of start "
        "rows that the episodes lie in, the same blocks for every policy; few blocks make them uncertain "
        "themselves."
    )
    return (
        f"{intervals if drawn else NO_INTERVAL} A trimmed mean drops the named share of episodes at each "
        f"end; a catastrophe is an episode with a total wait of more than {CATASTROPHE_S:,.0f} s; "
        "mean log1p is the mean of log(1 + total wait in seconds); the lower bound holds for every "
        "policy without migration."
    )
