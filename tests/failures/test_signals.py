"""SIGTERM and SIGHUP end a command like Ctrl-C, with an exit code of their own."""

from __future__ import annotations

import fcntl
import os
import pty
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from time_limits import ANSWER_S

# Short sleeps: a signal that comes between the interpreter's last look for one and the call that sleeps
# is handled when the call returns.
COMMAND = """
import sys, time
from pathlib import Path
from spane_rllib.core.console import run_command

def main(argv):
    try:
        Path("up").touch()
        while True:
            time.sleep(0.01)
    finally:
        print("the state is saved", file=sys.stderr)
        Path("saved").touch()

sys.exit(run_command(main))
"""

# The call lets other threads run, but no handler of a signal, like some calls to Ray.
DEAF = """
import hashlib, os, sys, threading, time
from pathlib import Path
from spane_rllib.core.console import run_command
from spane_rllib.core.signals import exit_code, was_told_to_stop

def watch():
    while not was_told_to_stop():
        time.sleep(0.01)
    os._exit(exit_code(1))

def main(argv):
    threading.Thread(target=watch, daemon=True).start()
    Path("up").touch()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)

sys.exit(run_command(main))
"""
FAILING = """
import os, signal, sys, time
from spane_rllib.core.console import run_command

def main(argv):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        while True:
            time.sleep(0.01)
    finally:
        raise RuntimeError("the connection is lost")

sys.exit(run_command(main))
"""


def ignore(number: int) -> Callable[[], object]:
    return lambda: signal.signal(number, signal.SIG_IGN)


def start(
    folder: Path,
    *,
    prepare: Callable[[], object] | None = None,
    stream: int = subprocess.PIPE,
    command: str = COMMAND,
) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", command],
        cwd=folder,
        stdout=stream,
        stderr=stream,
        preexec_fn=prepare,
        text=True,
    )
    while not (folder / "up").exists():
        assert process.poll() is None
    return process


@pytest.mark.parametrize(
    ("told", "ignored", "code"),
    [
        (signal.SIGINT, None, 130),
        (signal.SIGTERM, None, 143),
        (signal.SIGHUP, None, 129),
        (signal.SIGTERM, signal.SIGINT, 143),  # as in the background of a shell script
        (signal.SIGTERM, signal.SIGHUP, 143),  # as under nohup
    ],
)
def test_a_command_that_is_told_to_stop(
    tmp_path: Path, told: signal.Signals, ignored: signal.Signals | None, code: int
) -> None:
    process = start(tmp_path, prepare=ignore(ignored) if ignored else None)
    process.send_signal(told)
    _, errors = process.communicate(timeout=ANSWER_S)
    assert process.returncode == code
    assert errors == "the state is saved\ninterrupted\n"
    assert (tmp_path / "saved").exists()


def test_a_second_signal_does_not_disturb_the_end(tmp_path: Path) -> None:
    process = start(tmp_path)
    for _ in range(3):
        process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=ANSWER_S)
    assert (process.returncode, errors.splitlines()[-1]) == (143, "interrupted")


def test_a_signal_is_known_while_no_handler_can_run(tmp_path: Path) -> None:
    process = start(tmp_path, command=DEAF)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=ANSWER_S)
    assert process.returncode == 143


def test_what_fails_because_all_was_told_to_stop(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FAILING], capture_output=True, text=True, timeout=ANSWER_S)
    assert (done.returncode, done.stderr) == (143, "interrupted\n")


def test_under_nohup_a_command_goes_on(tmp_path: Path) -> None:
    process = start(tmp_path, prepare=ignore(signal.SIGHUP))
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=ANSWER_S)
    assert process.returncode == 143


def test_a_terminal_that_closes(tmp_path: Path) -> None:
    """What is printed then goes nowhere, and fails nothing."""
    master, slave = pty.openpty()

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    process = start(tmp_path, prepare=take_terminal, stream=slave)
    os.close(slave)
    os.close(master)
    assert process.wait(ANSWER_S) == 129
    assert (tmp_path / "saved").exists()


def test_the_first_process_of_a_container(tmp_path: Path) -> None:
    """The kernel gives a process with the id 1 only the signals that it has asked for."""
    container = ["unshare", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if not shutil.which("unshare") or subprocess.run([*container, "true"], capture_output=True).returncode:
        pytest.skip("making a namespace of processes is not permitted")
    within = "import os; assert os.getpid() == 1\n"
    with subprocess.Popen(
        [*container, sys.executable, "-c", within + COMMAND], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as outer:
        while not (tmp_path / "up").exists():
            assert outer.poll() is None
            time.sleep(0.01)
        (first,) = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
        os.kill(int(first), signal.SIGTERM)
        _, errors = outer.communicate(timeout=ANSWER_S)
    assert (outer.returncode, errors) == (143, "the state is saved\ninterrupted\n")
