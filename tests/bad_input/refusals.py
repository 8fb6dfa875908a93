"""What every refusal must be: one `error:` line, exit code 2, no traceback, nothing written, no Ray."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from spane_rllib.__main__ import main

Refuse = Callable[..., str]
MountDisk = Callable[[int], Path]


def contents(folder: Path) -> dict[str, tuple[int, ...]]:
    """Every path below `folder` with what changes when a file is written: size, time and inode."""

    def state(path: Path) -> tuple[int, ...]:
        status = path.lstat()
        return (status.st_size, status.st_mtime_ns, status.st_ino) if path.is_file() else ()

    return {str(path.relative_to(folder)): state(path) for path in sorted(folder.rglob("*"))}


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


def fill(disk: Path) -> None:
    """Leave no page free on the file system mounted at `disk`."""
    with suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
        while filler.write(bytes(4096)):
            pass
