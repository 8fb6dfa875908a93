"""Tables, figures and report of a comparison of two policies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from spane_rllib.core.bootstrap import Resamples
from spane_rllib.core.files import write_text
from spane_rllib.core.markdown import image, inline, table
from spane_rllib.core.plotting import save
from spane_rllib.core.version import __version__
from spane_rllib.experiments.results.tables import write_tables
from spane_rllib.experiments.studies.comparison import (
    COMPARISON_HEADER,
    Estimate,
    comparison_rows,
    episode_counts,
    no_interval,
    verdict,
)
from spane_rllib.experiments.studies.comparison_figures import comparison_figure
from spane_rllib.problems.measures import Statistics
from spane_rllib.problems.problem import Evaluation


def write_comparison(
    directory: Path,
    evaluation: Evaluation,
    pairs: Sequence[tuple[Estimate, Estimate, pd.DataFrame]],
    episodes: pd.DataFrame,
    resamples: Resamples,
) -> None:
    """Write `comparison.csv`, `episodes.csv`, `report.md` and a figure per case.

    Args:
        directory: receives them; made if absent.
        evaluation: what was played.
        pairs: A, B and `comparison.compare` of them, one for each case.
        episodes: of all of them.
        resamples: what the intervals are from.
    """
    problem = evaluation.task.problem
    comparisons = pd.concat([comparison for _, _, comparison in pairs], ignore_index=True)
    write_tables(directory, {"comparison": comparisons, "episodes": episodes})
    first, second, _ = pairs[0]
    played = "; ".join(filter(None, (evaluation.description, evaluation.chosen)))
    blocks = [
        f"# A: {inline(first.policy)}, B: {inline(second.policy)}",
        f"spane_rllib {__version__}. {inline(played[:1].upper() + played[1:])}.",
        f"Both played the same {len(first.values):,} episodes. "
        f"{bootstrap_text(problem.statistics, resamples)}",
    ]
    for a, b, comparison in pairs:
        figure = save(comparison_figure(problem, a, b), directory / f"comparison-{a.case}-{problem.case}.png")
        blocks += [
            f"## {problem.case_text.format(a.case)}",
            inline(verdict(problem.statistics, comparison)),
            inline(episode_counts(problem.statistics, comparison)),
            table(COMPARISON_HEADER, comparison_rows(problem.statistics, comparison)),
            image(figure, directory),
        ]
    write_text(directory / "report.md", "\n\n".join(blocks) + "\n")


def bootstrap_text(statistics: Statistics, resamples: Resamples) -> str:
    """How the intervals of a report came about and what the statistics are."""
    drawn, blocks = len(resamples.counts) - 1, resamples.counts.shape[1]
    resampled = f"{blocks:,} episodes, the same for every policy"
    if statistics.block_rows > 1:
        resampled = (
            f"{blocks:,} blocks of {statistics.blocks} that the episodes lie in, the same blocks for every "
            "policy; few blocks make them uncertain themselves"
        )
    intervals = f"Intervals are 95% percentile intervals from {drawn:,} resamples of the {resampled}."
    return " ".join(filter(None, (intervals if drawn else no_interval(statistics), statistics.note)))
