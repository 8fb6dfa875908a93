"""How recorded schedules are read, compared and drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spane_rllib.core.errors import UserError
from spane_rllib.problems.viewing import Animation, Viewer

if TYPE_CHECKING:
    from spane_rllib.problems.vm_scheduling.recordings.schedule import Schedule

_DESCRIPTION = ("policy", "trace", "start", "source", "scenario", "queue")


class ScheduleViewer(Viewer):
    """Recordings of `evaluate --record` (`.npz`), or of VMAgent (`.p`)."""

    modules = (
        "episode.js",
        "timeline.js",
        "trend.js",
        "bars.js",
        "heatmap.js",
        "overview.js",
        "side.js",
        "main.js",
    )

    def read(self, file: Path, content: Mapping[str, Any]) -> Schedule:
        from spane_rllib.problems.vm_scheduling.recordings.loading import read_schedule

        return read_schedule(file)

    def check_pair(self, first: Schedule, second: Schedule) -> None:
        """They must be of the same arrivals, and VMs wait in both of them or in none."""
        import numpy as np

        both = min(len(first.vms.number), len(second.vms.number))
        for name in ("number", "cpu", "memory", "arrival"):
            if not np.array_equal(getattr(first.vms, name)[:both], getattr(second.vms, name)[:both]):
                raise UserError(
                    f"{first.policy} (start {first.start}) and {second.policy} (start {second.start}) are "
                    "not of the same arrivals; give two recordings of one trace and start"
                )
        if bool(first.scenario) != bool(second.scenario):
            waiting, other = (second, first) if first.scenario else (first, second)
            raise UserError(
                f"VMs wait for {waiting.policy} but not for {other.policy}; give two recordings of one kind"
            )

    def content(self, recording: Schedule) -> Mapping[str, Any]:
        """What the page's `Episode` takes."""
        plain: dict[str, Any] = {name: getattr(recording, name) for name in _DESCRIPTION}
        for table in ("vms", "events", "servers"):
            columns = getattr(recording, table)._asdict()
            plain[table] = {name: _numbers(column) for name, column in columns.items()}
        return plain

    def animation(self, recordings: Sequence[Schedule]) -> Animation:
        from spane_rllib.problems.vm_scheduling.viewing.animation import ScheduleAnimation

        return ScheduleAnimation(recordings)


def _numbers(column: Any) -> list[Any]:
    """The values of an array as short as they can be written; null for infinity, which JSON lacks."""
    import numpy as np

    if (column == np.rint(column)).all() and (np.abs(column) < 2**53).all():
        return column.astype(np.int64).tolist()
    return [None if value == np.inf else value for value in column.tolist()]
