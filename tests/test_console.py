"""What the screen says: progress and tables, in terminals of several widths and in logs."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from spane_rllib.__main__ import main
from spane_rllib.core import progress as progress_module
from spane_rllib.core.progress import Progress, close_progress, waiting
from spane_rllib.core.tables import format_table

PROGRESS = """
import sys, time
from spane_rllib.core.progress import Progress
progress = Progress("training", 12000, "gradient steps")
for step in range(0, 12001, 500):
    progress.update(step, "8/8 trials; best validation: spane 54,993 s (1.91 x bound), " * 4)
    time.sleep(0.02)
print("done", file=sys.stderr)
"""
TABLE = """
from spane_rllib.core.tables import format_table
names = [f"a long column {k}" for k in range(9)]
print(format_table(names, [[1000.0 * k for k in range(9)]], [names[8], *names]))
"""


def screen(code: str, width: int) -> list[str]:
    """The rows that a terminal of `width` columns shows after `code` ran in it."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")} | {"TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=slave, stderr=slave, stdin=slave, env=environment
    )
    os.close(slave)
    data = b""
    while True:
        try:
            read = os.read(master, 65536)
        except OSError:  # how Linux says that the other side is closed
            break
        if not read:
            break
        data += read
    assert process.wait() == 0
    rows, row, column = [""], 0, 0
    for text in re.findall(r"\x1b\[\??[0-9;]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", data.decode()):
        if text == "\r":
            column = 0
        elif text == "\n":
            row += 1
            rows += [""] * (row + 1 - len(rows))
        elif text.startswith("\x1b["):
            if text == "\x1b[2K":
                rows[row] = ""
            elif text.endswith("A"):
                row -= int(text[2:-1] or 1)
        else:
            assert column + len(text) <= width, "wider than the terminal: the line wraps"
            rows[row] = rows[row][:column].ljust(column) + text + rows[row][column + len(text) :]
            column += len(text)
    return [text.rstrip() for text in rows if text.strip()]


@pytest.mark.parametrize("width", [60, 80, 120, 250])
def test_progress_stays_on_its_line(width: int) -> None:
    rows = screen(PROGRESS, width)
    assert len(rows) == 2 and rows[1] == "done"
    assert rows[0].startswith("training") and "12,000/12,000 gradient" in rows[0]


def test_progress_in_a_log(capfd: pytest.CaptureFixture[str]) -> None:
    progress = Progress("training", 4, "steps")
    for step in range(5):
        progress.update(step, f"note {step}")
    assert capfd.readouterr().err == "training: 4/4 steps (0 s) note 4\n"


def test_a_log_is_never_silent_for_long(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_module, "_LOG_EVERY_S", 0.0)
    with waiting("compilation", "once"):
        import time

        time.sleep(1.5)
    time.sleep(1.2)
    assert re.fullmatch(r"compilation: once \([12] s\)\n", capfd.readouterr().err)


def test_a_new_bar_closes_the_one_before(capfd: pytest.CaptureFixture[str]) -> None:
    first = Progress("one", 2)
    second = Progress("two", 2)
    assert first._ended.is_set() and not second._ended.is_set()
    close_progress()
    assert second._ended.is_set()


@pytest.mark.parametrize(("width", "shown"), [(30, 1), (80, 4), (200, 6)])
def test_a_table_fits_the_terminal(width: int, shown: int) -> None:
    rows = screen(TABLE, width)
    names = re.findall(r"a long column \d", rows[0])
    # The most important column is kept, at its place.
    assert names == [f"a long column {k}" for k in [*range(shown - 1), 8]]
    assert rows[-1] == f"({9 - shown} more columns: --all)"


def test_a_column_has_one_format() -> None:
    assert format_table(("a", "b"), [(0.5, 1), (1234.5, 20)]).splitlines()[2:] == [
        "    0.5   1",
        "1,234.5  20",
    ]
    assert format_table(("a",), [(0.5,), (float("inf"),)]).splitlines()[2:] == ["0.500", "  inf"]


def test_tables_as_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "examples"))
    assert main(["data", "list", "--json"]) == 0
    assert {"name", "licence", "urls"} <= json.loads(capsys.readouterr().out)[0].keys()
    options = ["--problem", "bin_packing.problem:BIN_PACKING", "--episodes", "3", "--json"]
    assert main(["evaluate", "--policy", "first-fit", "--policy", "random", *options]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["policy"] for row in rows] == ["first-fit", "random"] and rows[0]["episodes"] == 3
    assert main(["compare", "first-fit", "random", *options]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[0]["a"] == "first-fit" and "difference_low" in rows[0]


def test_near_misses(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tne"]) == 2
    assert "did you mean tune?" in capsys.readouterr().err
    assert main(["evaluate", "--trace", "synthetic:vms=2000", "--policy", "first_fit"]) == 2
    assert "did you mean first-fit?" in capsys.readouterr().err
    assert main(["tune", "qick"]) == 2
    assert "did you mean quick?" in capsys.readouterr().err


def test_a_folder_lists_its_recordings(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["view", str(tmp_path)]) == 2
    assert "no recordings" in capsys.readouterr().err
    for name in ("b.npz", "a.json", "notes.txt"):
        (tmp_path / name).write_bytes(b"x" * 3000)
    assert main(["view", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [f"{tmp_path}/a.json  (3 kB)", f"{tmp_path}/b.npz  (3 kB)"]
    assert lines[-1] == f"python -m spane_rllib.view {tmp_path}/a.json"


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion(shell: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for word in ("evaluate", "--policy", "synthesize", "--retries", "--shadow"):
        assert word in script
    if shell == "bash":
        (tmp_path / "script").write_text(script)
        ask = (
            f"source {tmp_path}/script; COMP_WORDS=(spane-rllib ev); COMP_CWORD=1; _shtab_spane_rllib; "
            'echo "${COMPREPLY[@]}"'
        )
        assert subprocess.check_output(["bash", "-c", ask], text=True) == "evaluate\n"


@pytest.mark.parametrize(
    ("problem", "near", "policy"),
    [
        ("vm_scheduling", "first_fit", "first-fit"),
        ("gpu_jobs", "first-fit", "first_fit"),
        ("vm_rescheduling", "balkon", "balcon"),
        ("pod_migration", "noop", "no-op"),
    ],
)
def test_a_policy_that_is_nearly_one_is_named(
    problem: str, near: str, policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--problem", problem, "--policy", near]) == 2
    assert f"did you mean {policy}?" in capsys.readouterr().err


def test_an_option_and_a_subcommand_that_are_nearly_one_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    for command, hint in ((["evaluate", "--polciy", "x"], "--policy"), (["data", "lst"], "list")):
        assert main(command) == 2
        assert f"did you mean {hint}" in capsys.readouterr().err
