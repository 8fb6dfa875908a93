"""Tune's state as it is archived at each snapshot and brought back."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from spane_rllib.experiments.results.folder import ResultsFolder
from spane_rllib.experiments.tuning.tune_state import StateArchive, drop_torn_lines, mend_state

SESSION, NEXT = "2026-11-20_12-00-00", "2026-11-20_12-30-00"
STATE, SEARCHER = f"experiment_state-{SESSION}.json", f"searcher-state-{SESSION}.pkl"
CONTENT = {"trial_data": ['{"status": "RUNNING"}'], "runner_data": {"_cached_trial_decisions": {}, "_x": 1}}


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Tune's scratch folder after a snapshot of an experiment that was begun with another one."""
    folder = tmp_path / "scratch"
    (folder / "mlp-0000").mkdir(parents=True)
    decided = CONTENT | {"runner_data": {"_cached_trial_decisions": {"a_0": "STOP"}, "_x": 1}}
    (folder / STATE).write_text(json.dumps(decided))
    (folder / SEARCHER).write_bytes(b"suggested")
    (folder / "experiment_state-2026-11-19_12-00-00.json").write_text("{}")
    return folder


@pytest.fixture
def folder(tmp_path: Path, scratch: Path) -> ResultsFolder:
    """Results with the archive of that snapshot and nothing else."""
    folder = ResultsFolder(tmp_path / "results")
    folder.tune.mkdir(parents=True)
    archive = StateArchive(folder.tune_archive)
    archive.on_step_end(0, [])
    assert not folder.tune_archive.exists()
    archive.on_step_end(1, trials_in(scratch))
    return folder


def trials_in(scratch: Path) -> list[Any]:
    return [SimpleNamespace(storage=SimpleNamespace(experiment_driver_staging_path=str(scratch)))]


@pytest.mark.parametrize("size", [None, 0, 1, 20, 70, 10_000])
def test_whatever_tune_left_becomes_the_archived_snapshot(folder: ResultsFolder, size: int | None) -> None:
    """Without the decisions that were to be executed, and without a newer snapshot that was begun."""
    if size is not None:
        for name in (STATE, SEARCHER, f"experiment_state-{NEXT}.json", f"basic-variant-state-{NEXT}.json"):
            (folder.tune / name).write_bytes(json.dumps(CONTENT).encode()[:size].ljust(size))
    (folder.tune / "tuner.pkl").write_bytes(b"kept")
    mend_state(folder)
    assert {file.name for file in folder.tune.iterdir()} == {STATE, SEARCHER, "tuner.pkl"}
    assert json.loads((folder.tune / STATE).read_text()) == CONTENT
    assert (folder.tune / SEARCHER).read_bytes() == b"suggested"
    before = {file: file.stat().st_ino for file in folder.tune.iterdir()}
    mend_state(folder)
    assert {file: file.stat().st_ino for file in folder.tune.iterdir()} == before


def test_a_damaged_archive_changes_nothing(folder: ResultsFolder) -> None:
    (folder.tune / STATE).write_text("of Tune")
    folder.tune_archive.write_bytes(folder.tune_archive.read_bytes()[:-30])
    mend_state(folder)
    assert [file.read_text() for file in folder.tune.iterdir()] == ["of Tune"]


def test_a_resumed_trial_may_fail_as_often_as_at_first(tmp_path: Path) -> None:
    failures = []
    for failed in (1, 3, 4):
        trial = SimpleNamespace(
            num_failures=failed, max_failures=3, run_metadata=SimpleNamespace(num_failures=failed)
        )
        StateArchive(tmp_path / "state.zip").on_trial_start(0, [trial], trial)
        failures.append(trial.run_metadata.num_failures)
    assert failures == [1, 3, 0]


def test_a_half_written_last_result_is_cut_off(tmp_path: Path) -> None:
    contents = {"whole": b"{}\n{}\n", "torn": b"{}\n{", "first_torn": b'{"a', "empty": b""}
    for trial, content in contents.items():
        (tmp_path / "tune" / trial).mkdir(parents=True)
        (tmp_path / "tune" / trial / "result.json").write_bytes(content)
    drop_torn_lines(ResultsFolder(tmp_path))
    left = {trial: (tmp_path / "tune" / trial / "result.json").read_bytes() for trial in contents}
    assert left == {"whole": b"{}\n{}\n", "torn": b"{}\n", "first_torn": b"", "empty": b""}
