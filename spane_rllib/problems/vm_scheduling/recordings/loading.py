"""Recordings by path, whatever wrote them."""

from __future__ import annotations

import os
from pathlib import Path

from spane_rllib.problems.vm_scheduling.recordings.schedule import Schedule
from spane_rllib.problems.vm_scheduling.recordings.schedule_file import read_npz
from spane_rllib.problems.vm_scheduling.recordings.vmagent_file import read_vmagent


def read_schedule(path: str | os.PathLike[str]) -> Schedule:
    """The schedule in a recording of `evaluate --record`, or of VMAgent where the name ends in `.p`.

    Raises:
        UserError: the file cannot be read, is no recording, or is damaged.
    """
    file = Path(path)
    return read_vmagent(file) if file.suffix == ".p" else read_npz(file)
