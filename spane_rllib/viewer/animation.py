"""Recordings as animations: GIF through Pillow, MP4 through ffmpeg."""

from __future__ import annotations

import os
from pathlib import Path

from spane_rllib.core.console import Progress
from spane_rllib.core.errors import UserError
from spane_rllib.core.files import replacing
from spane_rllib.problems.viewing import Animation

_FRAMES_PER_SECOND = 12


def write_animation(path: str | os.PathLike[str], shown: Animation) -> None:
    """Write an animation to `path` (`.gif` or `.mp4`) in one step.

    Raises:
        UserError: the file cannot be written, or there is no ffmpeg for MP4.
    """
    from matplotlib import animation

    from spane_rllib.core.plotting import write_plainly

    writer: animation.AbstractMovieWriter
    if Path(path).suffix.lower() == ".mp4":
        if not animation.FFMpegWriter.isAvailable():
            raise UserError(f"cannot write {path}: ffmpeg is not installed; install it or export a .gif")
        writer = animation.FFMpegWriter(fps=_FRAMES_PER_SECOND)
    else:
        writer = animation.PillowWriter(fps=_FRAMES_PER_SECOND)
    shown.draw(shown.moments[0])
    write_plainly(shown.figure)
    shown.figure.draw_without_rendering()
    shown.figure.set_layout_engine("none")  # which would else take most of the time of every frame
    progress = Progress("drawn", len(shown.moments), "frames")
    with replacing(path) as temporary, writer.saving(shown.figure, str(temporary), dpi=100):
        for index, moment in enumerate(shown.moments, start=1):
            shown.draw(moment)
            writer.grab_frame()
            progress.update(index)
