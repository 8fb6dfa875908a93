"""What every command does before it works: help, and bad input in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from spane_rllib.__main__ import COMMANDS

HEAVY = ("ray", "torch", "pandas", "numba", "matplotlib")


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_imports_nothing_heavy(command: str | None) -> None:
    program = f"""
import sys
from spane_rllib.__main__ import main
try:
    code = main(sys.argv[1:])
except SystemExit as end:  # argparse
    code = end.code
print([name for name in {HEAVY} if name in sys.modules], code)
"""
    arguments = [command, "--help"] if command else ["--help"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    *text, last = done.stdout.splitlines()
    assert last == "[] 0"
    assert text[0].startswith("usage: ")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["tun"], ["no command is called 'tun'", "tune"]),
        (["tune", "qick"], ["'qick': no such file, and no such preset", "quick"]),
        (["tune", "quick", "--set", "training.gradient_step=5"], ["gradient_step", "gradient_steps"]),
        (["tune", "--resume", "nowhere"], ["nowhere: no experiment there"]),
        (["tune", "quick", "--resume", "nowhere"], ["leave out CONFIG and --set"]),
        (["analyze", "nowhere"], ["nowhere: no experiment there"]),
        (["evaluate", "--policy", "frist-fit"], ["policy 'frist-fit': neither a heuristic", "first-fit"]),
        (["evaluate", "--policy", "."], ["model.json: no such file"]),
        (["evaluate", "--policy", "sbf", "--servers", "0"], ["argument --servers: must be", "got '0'"]),
        (["evaluate", "--policy", "sbf", "--workers", "-1"], ["argument --workers: must be", "got '-1'"]),
        (["evaluate", "--policy", "sbf", "--episodes", "0"], ["argument --episodes: must be", "got '0'"]),
        (["evaluate", "--policy", "sbf", "--node-cpu", "3"], ["needs", "larger servers"]),
        (["evaluate", "--policy", "sbf", "--record-episodes", "0"], ["--record-episodes: must be", "'0'"]),
        (["evaluate", "--policy", "sbf", "--record", "far.csv"], ["cannot write to far.csv"]),
        (["evaluate", "--policy", "sbf", "--starts", "none.csv"], ["none.csv", "No such file"]),
        (["evaluate", "--policy", "sbf", "--starts", "words.csv"], ["words.csv, row 2", "no whole number"]),
        (["evaluate", "--policy", "sbf", "--starts", "far.csv"], ["outside"]),
        (["evaluate", "--policy", "sbf", "--starts", "last.csv"], ["start 499", "allowed are 0 to 498"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0] in (*COMMANDS, "tun") else "",
)
def test_bad_input_is_refused_in_one_line(
    arguments: list[str],
    parts: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from spane_rllib.__main__ import main

    monkeypatch.chdir(tmp_path)
    for name, text in (("words", "start\nten\n"), ("far", "3\n70000\n"), ("last", "499\n")):
        (tmp_path / f"{name}.csv").write_text(text)
    before = sorted(tmp_path.rglob("*"))
    if arguments[0] == "evaluate":
        arguments = [*arguments, "--trace", "synthetic:vms=500", "--output", "out"]
    assert main(arguments) == 2
    errors = capsys.readouterr().err.splitlines()
    lines = [line for line in errors if not line.startswith("trace: ")]
    assert len(lines) == 1 and lines[0].startswith("error: ")
    for part in parts:
        assert part in lines[0]
    assert sorted(tmp_path.rglob("*")) == before
