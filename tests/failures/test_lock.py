"""One process at a time in a results folder, whatever happened to the last one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from time_limits import ANSWER_S

from spane_rllib.core.errors import UserError
from spane_rllib.core.lock import locked
from spane_rllib.experiments.results.folder import ResultsFolder
from spane_rllib.experiments.studies.config import load_study
from spane_rllib.experiments.studies.job import run_study

HOLD = """
import sys, time
from pathlib import Path
from spane_rllib.core.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(1000)
"""
STUDY = """
name: study
output: .
reference: sbf
trace: {source: synthetic, synthetic_vms: 3000}
evaluation: {episodes: 2, heuristics: [first-fit, sbf]}
"""


def hold(folder: Path) -> subprocess.Popen[str]:
    """Another process that holds `folder`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_the_holder_is_named_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    with hold(tmp_path) as holder:
        try:
            with pytest.raises(UserError) as refusal, locked(tmp_path):
                pass
            assert f"in use by process {holder.pid} on {socket.gethostname()}; wait" in str(refusal.value)
        finally:
            holder.send_signal(signal.SIGKILL)
            holder.wait(ANSWER_S)
    assert (tmp_path / ".lock").exists()
    with locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path / "new"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_is_left_of_a_lock_may_be_anything(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_bytes(b"\xff" * 1000)
    with locked(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"process {os.getpid()} on {socket.gethostname()}"
    (tmp_path / ".lock").symlink_to("/etc/passwd")
    with pytest.raises(UserError, match="cannot write"), locked(tmp_path):
        pass


def test_of_many_at_once_one_gets_in(tmp_path: Path) -> None:
    inside, most, entered = 0, 0, 0
    guard = threading.Lock()

    def enter() -> None:
        nonlocal inside, most, entered
        for _ in range(200):
            try:
                with locked(tmp_path / "new"):
                    with guard:
                        inside += 1
                        entered += 1
                        most = max(most, inside)
                    with guard:
                        inside -= 1
            except UserError:
                pass

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert entered > 0 and most == 1


def test_a_study_in_a_folder_that_is_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(STUDY)
    folder = ResultsFolder(tmp_path / "study")
    config = load_study("study.yaml")
    with locked(folder.path):
        with pytest.raises(UserError, match=r"study is in use by process"):
            run_study(config, folder, resume=False)
        assert [path.name for path in folder.path.iterdir()] == [".lock"]
