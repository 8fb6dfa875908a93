"""Recordings as animations: GIF through Pillow, MP4 through ffmpeg."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spane_rllib.core.console import Progress
from spane_rllib.core.errors import UserError
from spane_rllib.core.files import replacing
from spane_rllib.problems.viewing import Animation

if TYPE_CHECKING:
    from PIL import Image

_FRAMES_PER_SECOND = 12
_COLOURS = 128

Pixels = npt.NDArray[np.uint8]


def write_animation(path: str | os.PathLike[str], shown: Animation) -> None:
    """Write an animation to `path` (`.gif` or `.mp4`) in one step.

    Raises:
        UserError: the file cannot be written, or there is no ffmpeg for MP4.
    """
    from matplotlib.animation import FFMpegWriter

    from spane_rllib.core.plotting import write_plainly

    write = _write_mp4 if Path(path).suffix.lower() == ".mp4" else _write_gif
    if write is _write_mp4 and not FFMpegWriter.isAvailable():
        raise UserError(f"cannot write {path}: ffmpeg is not installed; install it or export a .gif")
    shown.draw(shown.moments[0])
    write_plainly(shown.figure)
    shown.figure.draw_without_rendering()
    shown.figure.set_layout_engine("none")  # which would else take most of the time of every frame
    with replacing(path) as temporary:
        write(temporary, shown)


def frames(shown: Animation) -> Iterator[Pixels]:
    """(H, W, 3) of every moment.

    Where the animation says what changes, the rest is drawn once and copied: axes and texts take most of the
    time of a frame.
    """
    from spane_rllib.core.plotting import pixels, still_of

    progress = Progress("drawn", len(shown.moments), "frames")
    changing = getattr(shown, "changing", ())
    still = still_of(shown.figure, changing) if changing else None
    for index, moment in enumerate(shown.moments, start=1):
        shown.draw(moment)
        yield pixels(shown.figure, still, changing)
        progress.update(index)


def _write_gif(file: Path, shown: Animation) -> None:
    from PIL import Image

    palette = _palette(shown)
    images = [
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames(shown)
    ]
    duration = round(1000 / _FRAMES_PER_SECOND)
    images[0].save(file, "GIF", save_all=True, append_images=images[1:], duration=duration, loop=0)


def _palette(shown: Animation) -> Image.Image:
    """The colours of the beginning, the middle and the end, for all frames: finding them anew takes long."""
    from PIL import Image

    from spane_rllib.core.plotting import pixels

    samples = []
    for moment in (shown.moments[0], shown.moments[len(shown.moments) // 2], shown.moments[-1]):
        shown.draw(moment)
        samples.append(pixels(shown.figure))
    return Image.fromarray(np.concatenate(samples)).quantize(_COLOURS, dither=Image.Dither.NONE)


def _write_mp4(file: Path, shown: Animation) -> None:
    from matplotlib.animation import FFMpegWriter

    writer = FFMpegWriter(fps=_FRAMES_PER_SECOND)
    progress = Progress("drawn", len(shown.moments), "frames")
    with writer.saving(shown.figure, str(file), dpi=100):
        for index, moment in enumerate(shown.moments, start=1):
            shown.draw(moment)
            writer.grab_frame()
            progress.update(index)
