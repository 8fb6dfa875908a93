"""The best and the worst episode of the best learned policy, as pages that the report links."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from spane_rllib.core.files import write_text
from spane_rllib.experiments.results.folder import ResultsFolder
from spane_rllib.experiments.results.tables import write_tables
from spane_rllib.problems.problem import Evaluation
from spane_rllib.viewer.page import render_page

COLUMNS = {
    "episode": str,
    "policy": str,
    "beside": str,
    "case": str,
    "pair": str,
    "value": float,
    "page": str,
}
"""Of `recordings.csv`."""


def write_recordings(
    folder: ResultsFolder,
    evaluation: Evaluation,
    policies: Sequence[Any],
    learned: set[str],
    episodes: pd.DataFrame,
) -> None:
    """Write `recordings/best.html` and `worst.html`, and `recordings.csv` about them.

    Each shows the learned policy that is best by the headline beside the best baseline, on the first case,
    where the learned one is best and worst. Nothing is written for problems that cannot be recorded or shown.

    Args:
        policies: all that were evaluated.
        learned: names of those that were trained.
        episodes: of all of them.
    """
    problem = evaluation.task.problem
    viewer, statistics, case = problem.viewer, problem.statistics, evaluation.cases[0]
    of_case = episodes[episodes[problem.case].astype(str) == str(case)]
    summary = problem.summarize(of_case) if viewer is not None and len(of_case) else pd.DataFrame()
    if viewer is None or summary.empty:
        return
    ordered = summary.sort_values(statistics.headline, ascending=statistics.better == "less", kind="stable")
    named = {policy.name: policy for policy in policies}
    best_learned = [name for name in ordered["policy"] if name in learned][:1]
    best_baseline = [name for name in ordered["policy"] if name not in learned][:1]
    if not best_learned:
        return
    own = of_case[of_case["policy"] == best_learned[0]]
    values = own[statistics.value] * (1 if statistics.better == "less" else -1)
    chosen = {"best": own.loc[values.idxmin()], "worst": own.loc[values.idxmax()]}
    target, rows = folder.path / "recordings", []
    for which, episode in chosen.items():
        pair, files = int(episode[problem.pair]), list[Path]()
        for name in (*best_learned, *best_baseline):
            files += evaluation.record_pairs(named[name], case, [pair], target)
        if not files:
            return
        page = viewer.page([viewer.read(file, {}) for file in files])
        write_text(target / f"{which}.html", render_page(page))
        value = float(episode[statistics.value])
        beside = best_baseline[0] if best_baseline else "-"
        rows.append((which, best_learned[0], beside, str(case), str(pair), value, f"recordings/{which}.html"))
    write_tables(folder.path, {"recordings": pd.DataFrame(rows, columns=list(COLUMNS))})
