"""What every refusal must be: one `error:` line, exit code 2, no traceback, nothing written, no Ray."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from spane_rllib.__main__ import main

Refuse = Callable[..., str]


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every path below `folder` with the bytes of the files; None for anything else."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def check_refusal(code: int, errors: str) -> str:
    """The one line that `errors` must be."""
    assert code == 2, errors
    lines = errors.splitlines()
    assert len(lines) == 1, errors
    assert lines[0].startswith("error: ")
    assert lines[0].isprintable()
    assert len(lines[0]) < 1100
    return lines[0]


def refuse_in(folder: Path, capfd: pytest.CaptureFixture[str]) -> Refuse:
    """A function that runs a command line, checks that it is refused, and returns the line."""

    def refuse(*arguments: object) -> str:
        before = contents(folder)
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        line = check_refusal(code, capfd.readouterr().err)
        assert contents(folder) == before
        assert "ray" not in sys.modules or not sys.modules["ray"].is_initialized()
        return line

    return refuse
