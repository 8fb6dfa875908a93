"""Figures and report of a results folder, from its tables alone (no Ray)."""

from __future__ import annotations

import os
import platform
from datetime import date
from pathlib import Path

import pandas as pd

from spane_rllib.experiments.reports.figures import draw_figures
from spane_rllib.experiments.reports.report import write_report
from spane_rllib.experiments.results.folder import ResultsFolder
from spane_rllib.experiments.results.identity import read_trace_record
from spane_rllib.problems.vm_scheduling.waits.evaluation import read_episodes, read_summary


def is_evaluated(folder: ResultsFolder) -> bool:
    """Whether the evaluation of the experiment is finished."""
    return all((folder.path / name).is_file() for name in ("episodes.csv", "summary.csv"))


def read_evaluation(folder: ResultsFolder) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`episodes.csv` and `summary.csv`; a `UserError` when one is missing or damaged."""
    return read_episodes(folder.path / "episodes.csv"), read_summary(folder.path)


def check_readable(folder: ResultsFolder) -> None:
    """Raise a `UserError` if a file that `write_summary` reads, its caller's tables apart, is damaged."""
    read_evaluation(folder)
    read_trace_record(folder)
    folder.stages()


def write_summary(folder: ResultsFolder) -> list[Path]:
    """Draw the figures, whose paths are returned, and write `report.md`.

    Reads `trials.csv` and `curves.csv`, just written by `results.write_trial_tables`, and what
    `check_readable` checks.
    """
    # A column of nothing but gaps would be read as numbers.
    trials = pd.read_csv(folder.path / "trials.csv", dtype={"model": str, "error": str})
    trials = trials.fillna({"model": "", "error": ""})
    curves = pd.read_csv(folder.path / "curves.csv")
    episodes, summary = read_evaluation(folder)
    trace = read_trace_record(folder)
    figures = draw_figures(folder.figures, trials, curves, episodes)
    write_report(
        folder.path,
        folder.load_config(),
        trials,
        summary,
        episodes,
        folder.stages(),
        f"{trace.name}, {trace.vms:,} VMs, content sha256 {trace.sha256}",
        figures,
        machine=f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        date=date.today(),
    )
    return figures
