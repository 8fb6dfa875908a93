"""Tasks out of tables of their events, as Google publishes them: submitted, scheduled, ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spane_rllib.core.errors import UserError
from spane_rllib.datasets.table import Table

if TYPE_CHECKING:
    import pandas as pd

_SECOND = 1e6  # times are in microseconds


@dataclass(frozen=True)
class EventForm:
    """How a table names and numbers events.

    Args:
        task: the two columns that name a task.
        time, event: columns of the time and the kind.
        scheduled: kind of an event with which a task begins to run; it is submitted by kind 0.
        ended: kinds with which it ends; `finished` is the one of a task that did what it should.
        headless: columns of files without a header.
    """

    task: tuple[str, str]
    time: str
    event: str
    scheduled: int
    ended: tuple[int, ...]
    finished: int
    headless: tuple[str, ...] = ()


GOOGLE_2011 = EventForm(
    ("job_id", "task_index"),
    "timestamp",
    "event_type",
    1,
    (2, 3, 4, 5, 6),
    4,
    (
        *("timestamp", "missing_info", "job_id", "task_index", "machine_id", "event_type", "user"),
        *("scheduling_class", "priority", "cpu_request", "memory_request", "disk_request"),
        "different_machine",
    ),
)
"""`task_events` of 2011."""
GOOGLE_2019 = EventForm(("collection_id", "instance_index"), "time", "type", 3, (4, 5, 6, 7, 8), 6)
"""`instance_events` of 2019, as CSV."""


def request_column(table: Table, names: Sequence[str], what: str) -> str:
    """The first of `names` that the table has; a `UserError` about `what` if there is none."""
    for name in names:
        if table.has(name):
            return name
    raise UserError(f"{table.file}: no column of requested {what} ({', '.join(names[:-1])} or {names[-1]})")


def task_spans(table: Table, form: EventForm, kinds: Sequence[int], columns: pd.DataFrame) -> pd.DataFrame:
    """A row for each task that was submitted and scheduled, in order of its first event.

    Args:
        table: of events.
        form: how it is written.
        kinds: of events that end a task here; others do not.
        columns: what else is wanted, a row per event; of a task, what its first event says.

    Returns:
        `submitted` (first SUBMIT), `begun` (last SCHEDULE), `over` (last end, NaN without one), seconds, and
        `columns`.
    """
    import pandas as pd

    events = columns.assign(
        task=table.text(form.task[0]) + "/" + table.text(form.task[1]),
        time=table.numbers(form.time, low=0.0) / _SECOND,
        event=table.numbers(form.event, low=0.0),
    ).sort_values("time", kind="stable")

    def times(which: pd.Series[bool]) -> pd.Series[float]:
        return events[which].set_index("task")["time"]

    first = events.groupby("task", sort=False).first()[list(columns)]
    submitted = times(events["event"] == 0).groupby(level=0, sort=False).first()
    begun = times(events["event"] == form.scheduled).groupby(level=0, sort=False).last()
    over = times(events["event"].isin(kinds)).groupby(level=0, sort=False).last()
    spans = pd.concat({"submitted": submitted, "begun": begun}, axis=1, join="inner")
    return spans.join(over.rename("over")).join(first)
