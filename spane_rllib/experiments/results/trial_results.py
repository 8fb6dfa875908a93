"""What Tune has written down of the trials of an experiment, read as text: nothing of it is unpickled.

Tune's own readers unpickle its state, which runs whatever code a stranger has put there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from spane_rllib.core.errors import UserError, one_line
from spane_rllib.core.reading import MAX_TABLE, opened, read_bytes
from spane_rllib.experiments.results.folder import ResultsFolder
from spane_rllib.experiments.tuning.tune_state import mend_state

_MAX_ERROR = 1 << 20


@dataclass(frozen=True)
class TrialResult:
    """A trial.

    Args:
        path: its folder.
        config: what it was told to train; None if it has not reported yet, or could not be started.
        metrics: what it reported last.
        error: what it failed with; "" if it did not.
    """

    path: Path
    config: dict[str, Any] | None
    metrics: dict[str, Any]
    error: str

    @property
    def unfinished(self) -> bool:
        """Whether it was interrupted, so that resuming goes on with it."""
        return not self.error and not self.metrics.get("done", False)

    @property
    def checkpoint(self) -> Path:
        """The last one, which may be gone."""
        return max(self.path.glob("checkpoint_*"), default=self.path / "checkpoint_000000")

    def history(self) -> pd.DataFrame:
        """A row for each report, nested values named `outer/inner`; empty where there are none."""
        for name, read in (("result.json", _read_lines), ("progress.csv", _read_progress)):
            file = self.path / name
            if file.exists() and len(table := read(file)):
                return table
        return pd.DataFrame()


def has_trials(folder: ResultsFolder) -> bool:
    """Whether Tune has left anything of the experiment, be it without the state that names its trials."""
    marks = ("experiment_state-*.json", "*/checkpoint_*")
    return folder.tune_archive.exists() or any(any(folder.tune.glob(mark)) for mark in marks)


def read_results(folder: ResultsFolder) -> list[TrialResult]:
    """All trials of the experiment, after Tune's state was mended where that is needed.

    Raises:
        UserError: there are none, or Tune's state cannot be read.
    """
    mend_state(folder)
    if not has_trials(folder):
        raise UserError(f"{folder.path}: no trials yet; start them with --resume {folder.path}")
    try:
        file = max(folder.tune.glob("experiment_state-*.json"))
        return list(_trials(folder, json.loads(read_bytes(file, MAX_TABLE, "Tune's state"))))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(damaged_state(folder, error)) from error


def damaged_state(folder: ResultsFolder, error: Exception) -> str:
    """What to do about a state of Tune that raises `error`."""
    return one_line(
        f"Tune's state in {folder.tune} is missing or damaged ({type(error).__name__}: {error}); bring "
        f"{folder.tune_archive.name} back from a copy, or begin another experiment"
    )


def _trials(folder: ResultsFolder, state: Any) -> Iterator[TrialResult]:
    for texts in state["trial_data"]:
        trial, reported = (json.loads(text) for text in texts)
        path = folder.tune / Path(trial["relative_logdir"]).name
        metrics = dict(reported["last_result"] or {})
        failed = trial["status"] == "ERROR"
        yield TrialResult(
            path, dict(trial["config"]) if metrics else None, metrics, _error(path) if failed else ""
        )


def _error(path: Path) -> str:
    try:
        text = read_bytes(path / "error.txt", _MAX_ERROR, "an error").decode(errors="replace")
    except UserError:
        text = ""
    return text.strip() or "unknown"


def _read_lines(file: Path) -> pd.DataFrame:
    """A file with JSON in each line; a last line that was cut short is left out."""
    try:
        lines = read_bytes(file, MAX_TABLE, "a table of results").decode().split("\n")[:-1]
        return pd.json_normalize([json.loads(line) for line in lines], sep="/")
    except (ValueError, TypeError, AttributeError, NotImplementedError, RecursionError):
        return pd.DataFrame()


def _read_progress(file: Path) -> pd.DataFrame:
    try:
        with opened(file) as stream:
            return pd.read_csv(stream)
    except ValueError:
        return pd.DataFrame()
