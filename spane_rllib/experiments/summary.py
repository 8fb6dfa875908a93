"""Figures and report of a results folder, from its tables alone (no Ray)."""

from __future__ import annotations

import json
import os
import platform
from datetime import date
from pathlib import Path

import pandas as pd

from spane_rllib.errors import UserError
from spane_rllib.experiments.figures import draw_figures
from spane_rllib.experiments.folder import ResultsFolder
from spane_rllib.experiments.report import write_report

_TABLES = ("trials", "curves", "episodes", "summary")


def read_tables(folder: ResultsFolder) -> dict[str, pd.DataFrame]:
    """The tables of a finished experiment by name: trials, curves, episodes, summary.

    Raises:
        UserError: one is missing, so the experiment is not finished.
    """
    missing = [name for name in _TABLES if not (folder.path / f"{name}.csv").is_file()]
    if missing:
        raise UserError(
            f"{folder.path}: no {missing[0]}.csv yet; finish the experiment with --resume {folder.path}"
        )
    # A column of nothing but gaps would be read as numbers.
    texts = {"model": str, "error": str}
    tables = {name: pd.read_csv(folder.path / f"{name}.csv", dtype=texts) for name in _TABLES}
    tables["trials"] = tables["trials"].fillna({"model": "", "error": ""})
    return tables


def is_evaluated(folder: ResultsFolder) -> bool:
    """Whether all tables are there."""
    return all((folder.path / f"{name}.csv").is_file() for name in _TABLES)


def write_summary(folder: ResultsFolder) -> list[Path]:
    """Draw the figures, whose paths are returned, and write `report.md`."""
    tables = read_tables(folder)
    trace = json.loads((folder.path / "trace.json").read_text())
    figures = draw_figures(folder.figures, tables["trials"], tables["curves"], tables["episodes"])
    write_report(
        folder.path,
        folder.load_config(),
        tables["trials"],
        tables["summary"],
        tables["episodes"],
        folder.stages(),
        f"{trace['name']}, {trace['vms']:,} VMs, content sha256 {trace['sha256']}",
        figures,
        machine=f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        date=date.today(),
    )
    return figures
