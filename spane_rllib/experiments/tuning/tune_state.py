"""What Tune keeps on disk, made to survive a driver that is killed at any moment.

Tune writes to a scratch folder and copies from there into the results, over the files of before and one after
the other. A driver killed meanwhile leaves some of them cut short, or from different moments.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from ray import tune
from ray.tune.logger import JsonLoggerCallback
from ray.tune.result import EXPR_RESULT_FILE

from spane_rllib.core.files import replacing
from spane_rllib.core.reading import MAX_TABLE, opened, read_bytes
from spane_rllib.experiments.results.folder import ResultsFolder

# experiment_state-*.json and the files of the searcher, all with the time at which the run began.
_SESSION_FILE = re.compile(r".+-(\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d)\.(json|pkl)")

# What Tune meant to do with a trial once its checkpoint was saved. It would do so after a restart too: a
# trial that ended or crashed during that save, and goes on from an older checkpoint, would be stopped soon.
_DECISIONS = re.compile(rb'("_(?:cached|queued)_trial_decisions": )\{[^}]*\}')


class ResultFiles(JsonLoggerCallback):
    """Tune's `result.json` of each trial, appended to in the results folder and never copied over."""

    def log_trial_start(self, trial: Any) -> None:
        """Tune's hook."""
        self.log_trial_end(trial)
        trial.init_local_path()
        self.update_config(trial, trial.config)
        file = Path(trial.storage.trial_fs_path, EXPR_RESULT_FILE)
        file.parent.mkdir(parents=True, exist_ok=True)
        self._trial_files[trial] = file.open("a")


class StateArchive(tune.Callback):
    """Writes all files of each of Tune's snapshots to `file`, in one step; `mend_state` reads it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._saved_ns = 0

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Tune's hook; a trial that was given up and is resumed may fail as often as at first."""
        if trial.num_failures > trial.max_failures:
            trial.run_metadata.num_failures = 0

    def on_step_end(self, iteration: int, trials: list[Any], **_: Any) -> None:
        """Tune's hook after what may have been a snapshot."""
        self._save(trials)

    def on_experiment_end(self, trials: list[Any], **_: Any) -> None:
        """Tune's hook after the last snapshot."""
        self._save(trials)

    def _save(self, trials: list[Any]) -> None:
        scratch = Path(trials[0].storage.experiment_driver_staging_path) if trials else None
        state = max(scratch.glob("experiment_state-*.json"), default=None) if scratch else None
        if scratch is None or state is None or state.stat().st_mtime_ns == self._saved_ns:
            return
        self._saved_ns = state.stat().st_mtime_ns
        session = state.stem.removeprefix("experiment_state-")
        with replacing(self._file) as temporary, ZipFile(temporary, "w") as archive:
            for file in scratch.glob(f"[!.]*-{session}.*"):
                content = file.read_bytes()
                archive.writestr(file.name, _DECISIONS.sub(rb"\1{}", content) if file == state else content)


def mend_state(folder: ResultsFolder) -> None:
    """Make Tune's state that of the last archived snapshot; nothing is written where it is that already."""
    if not folder.tune_archive.is_file():
        return
    try:
        with opened(folder.tune_archive) as stream, ZipFile(stream) as archive:
            files = {Path(name).name: archive.read(name) for name in archive.namelist()}
    except BadZipFile:
        return  # Tune's own files have to do
    for name, content in files.items():
        file = folder.tune / name
        if not file.is_file() or read_bytes(file, MAX_TABLE, "state of Tune") != content:
            with replacing(file) as temporary:
                temporary.write_bytes(content)
    for file in folder.tune.glob("*-*"):
        if _SESSION_FILE.fullmatch(file.name) and file.name not in files:
            file.unlink()


def drop_torn_lines(folder: ResultsFolder) -> None:
    """Cut off the half-written last line that a killed driver can leave in a trial's `result.json`.

    Tune would read none of the file with such a line inside.
    """
    for file in folder.tune.glob(f"*/{EXPR_RESULT_FILE}"):
        text = read_bytes(file, MAX_TABLE, "a table of results")
        if not text.endswith(b"\n"):
            with replacing(file) as temporary:
                temporary.write_bytes(text[: text.rfind(b"\n") + 1])
