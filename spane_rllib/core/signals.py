"""The one place for signals: SIGTERM and SIGHUP take the way of Ctrl-C, and leave the exit code of their own.

systemd, Kubernetes and `docker stop` send SIGTERM, a terminal that closes sends SIGHUP.
"""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

INTERRUPTED = 130
_STOPPING = (signal.SIGTERM, signal.SIGHUP)
_told: int | None = None
_noted = -1  # the end of a pipe into which the interpreter writes the number of every signal


@contextmanager
def stopping_like_ctrl_c() -> Iterator[None]:
    """For the block, SIGTERM and SIGHUP are Ctrl-C."""
    global _told
    _arrived()  # what came before is not meant
    _told = None
    before = listen()
    try:
        yield
    finally:
        for number, handler in before.items():
            # Told to stop again while it ends, a process still ends in order and with its exit code.
            signal.signal(number, handler if _told is None else signal.SIG_IGN)


def listen() -> dict[int, Any]:
    """Take the signals, also back from a library that took them; returns the handlers of before.

    Under nohup SIGHUP stays ignored, and other threads than the main one cannot take signals.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    _note_arrivals()
    taken = [number for number in _STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, _stop) for number in taken}


def exit_code(code: int) -> int:
    """`code`, but that of the signal where one came before a command ended without success."""
    return 128 + _told if code and _told is not None else code


def was_told_to_stop() -> bool:
    """Whether one of the signals came, also where the main thread's call lets no handler run.

    For who ends the process: a signal that is only found here is not passed on as Ctrl-C any more.
    """
    global _told
    if _told is None:
        _told = next((number for number in _arrived() if number in _STOPPING), None)
    return _told is not None


def _note_arrivals() -> None:
    global _noted
    if _noted < 0:
        _noted, written = os.pipe()
        os.set_blocking(_noted, False)
        os.set_blocking(written, False)
        signal.set_wakeup_fd(written, warn_on_full_buffer=False)


def _arrived() -> bytes:
    """The numbers of the signals since the last call; with none of them the pipe is empty."""
    try:
        return os.read(_noted, 1 << 16)
    except OSError:
        return b""


def open_standard_streams() -> None:
    """Open /dev/null in place of standard streams that are closed or gone with their terminal.

    The next file that is opened would else take the number of a closed one, and get what is printed.
    """
    for stream in range(3):
        with suppress(OSError):
            try:
                gone = stat.S_ISCHR(os.fstat(stream).st_mode) and not os.isatty(stream)
            except OSError:
                gone = True
            if gone and (null := os.open(os.devnull, os.O_RDWR)) != stream:
                os.dup2(null, stream)
                os.close(null)


def _stop(number: int, frame: FrameType | None) -> None:
    global _told
    if _told is not None:  # once is enough; what has begun to end shall end in order
        return
    _told = number
    open_standard_streams()
    like_ctrl_c = signal.getsignal(signal.SIGINT)  # Ray Tune has one of its own
    if not callable(like_ctrl_c):  # ignored, in a background job of a shell script
        raise KeyboardInterrupt
    like_ctrl_c(signal.SIGINT, frame)
