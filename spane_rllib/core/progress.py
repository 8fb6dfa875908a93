"""How far a command is, on standard error: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_LOG_EVERY_S = 10.0
_shown: Progress | None = None
"""The one that is on the screen: two bars would overwrite each other."""


class Progress:
    """A counter that is shown from now on until all is done, `close` or the next one.

    On a terminal it is a bar as wide as the terminal, whose clock goes on by itself; elsewhere a line every
    ten seconds, whether or not anything was done meanwhile.

    Args:
        label: what is done.
        total: how much there is to do; 0 for what cannot be counted.
        unit: of the total.
        log_every_s: least time between two lines of a log (default: ten seconds).
    """

    def __init__(self, label: str, total: int, unit: str = "", log_every_s: float | None = None) -> None:
        global _shown
        close_progress()
        self.label, self.total, self.unit = label, total, unit
        self._done, self._note = 0, ""
        self._interval = _LOG_EVERY_S if log_every_s is None else log_every_s
        self._started = time.monotonic()
        self._printed = self._started
        self._ended = threading.Event()
        self._lock = threading.RLock()  # a signal may close what is just being printed
        self._bar: Any = None
        if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            self._bar = _bar()
            self._task = self._bar.add_task(label, total=total or None, count=self._count(), note="")
            self._bar.start()
        else:
            threading.Thread(target=self._beat, daemon=True).start()
        _shown = self

    def update(self, done: int, note: str = "") -> None:
        """Show `done` of the total; in a log not more often than the interval, and always at the end."""
        self._done, self._note = done, note
        finished = bool(self.total) and done >= self.total
        if self._bar is not None:
            self._bar.update(self._task, completed=done, count=self._count(), note=note)
        elif finished or time.monotonic() - self._printed >= self._interval:
            self._print()
        if finished:
            self.close()

    def close(self) -> None:
        """Show no more; what is shown stays."""
        global _shown
        with self._lock:
            self._ended.set()
        if self._bar is not None:
            self._bar.stop()
        if _shown is self:
            _shown = None

    def _count(self) -> str:
        return f"{self._done:,}/{self.total:,} {self.unit}".rstrip() if self.total else self.unit

    def _print(self) -> None:
        self._printed = time.monotonic()
        text = f"{self.label}: {self._count()} ({self._printed - self._started:.0f} s) {self._note}"
        print(text.rstrip(), file=sys.stderr, flush=True)

    def _beat(self) -> None:
        """Say in a log that nothing new is no standstill."""
        while not self._ended.wait(1.0):
            with self._lock:  # nothing is printed after `close`
                if not self._ended.is_set() and time.monotonic() - self._printed >= max(
                    self._interval, _LOG_EVERY_S
                ):
                    self._print()


def close_progress() -> None:
    """Close what is shown."""
    if _shown is not None:
        _shown.close()


@contextmanager
def waiting(label: str, what: str) -> Iterator[None]:
    """Inside the block it is shown that `label` goes on, which nobody can say the length of."""
    progress = Progress(label, 0, what)
    try:
        yield
    finally:
        progress.close()


def _bar() -> Any:
    """A display of `rich`: what does not fit on the line is cut, the note first."""
    from rich.console import Console
    from rich.progress import BarColumn, ProgressColumn, TextColumn
    from rich.progress import Progress as Bar
    from rich.table import Column
    from rich.text import Text

    class Elapsed(ProgressColumn):
        def render(self, task: Any) -> Text:
            return Text(f"{task.elapsed or 0:.0f} s", justify="right")

    def column(ratio: int | None = None) -> Column:
        return Column(no_wrap=True, overflow="ellipsis", ratio=ratio)

    return Bar(
        TextColumn("{task.description}", markup=False, table_column=column()),
        BarColumn(bar_width=16, table_column=column()),
        TextColumn("{task.fields[count]}", markup=False, table_column=column()),
        Elapsed(table_column=column()),
        TextColumn("{task.fields[note]}", markup=False, table_column=column(ratio=1)),
        console=Console(stderr=True, highlight=False),
        refresh_per_second=4,
        expand=True,
    )
