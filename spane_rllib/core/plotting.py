"""What all figures share: colours, panels and axes.

The object-oriented API of matplotlib keeps figures free of pyplot's global state.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogFormatter, LogLocator, NullLocator

from spane_rllib.core.errors import UserError
from spane_rllib.core.files import replacing

# Okabe and Ito's colours, which colour-blind readers can tell apart; their yellow is too pale for lines.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
HEURISTIC_COLOUR = "0.55"
_DPI = 150


def panels(
    count: int, columns: int, width: float, height: float, share_y: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure of `count` axes of `width` x `height` inches in rows of at most `columns`."""
    columns = min(count, columns)
    rows = math.ceil(count / columns)
    # A legend and labels outside need about two inches more.
    figure = Figure(figsize=(width * columns + 2, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=share_y).ravel()
    for unused in axes[count:]:
        unused.remove()
    for axis in axes[:count]:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25, linewidth=0.6)
        axis.set_axisbelow(True)
    return figure, list(axes[:count])


def save(figure: Figure, path: Path) -> Path:
    """Draw `figure` to the PNG file `path`, which is returned, and to a PDF file beside it for papers."""
    write_plainly(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=_DPI)
    # Without the time, so that equal figures are equal files; type 42, so that text stays text.
    with replacing(path.with_suffix(".pdf")) as temporary, matplotlib.rc_context({"pdf.fonttype": 42}):
        figure.savefig(temporary, metadata={"CreationDate": None})
    return path


def check_drawable(path: str | os.PathLike[str]) -> None:
    """Raise a `UserError` unless the suffix of `path` is one that figures can be written as."""
    suffix = Path(path).suffix.removeprefix(".")
    known = FigureCanvasAgg(Figure()).get_supported_filetypes()
    if suffix not in known:
        raise UserError(
            f"cannot draw {os.fspath(path)}: the suffix must be one of {', '.join(sorted(known))}"
        )


def write_plainly(figure: Figure) -> None:
    """Make a `$` in the texts of `figure` a dollar: names come from users, and two would begin a formula."""
    axes = figure.findobj(Axis)
    labels = {axis: axis.get_ticklabels(which="both") for axis in axes}  # which makes them
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    for axis in axes:
        if isinstance(axis.get_major_formatter(), LogFormatter):  # powers of ten are formulas
            for label in labels[axis]:
                label.set_parse_math(True)


def pixels(figure: Figure, still: Any = None, changing: Sequence[Artist] = ()) -> npt.NDArray[np.uint8]:
    """(H, W, 3) what `figure` shows, drawn in memory.

    Args:
        still: `still_of(figure, changing)`, above which only `changing` is drawn; None to draw everything.
        changing: artists.
    """
    canvas = _canvas(figure)
    if still is None:
        canvas.draw()
    else:
        canvas.restore_region(still)
        for artist in changing:
            if artist.axes is not None:
                artist.axes.draw_artist(artist)
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()


def still_of(figure: Figure, changing: Sequence[Artist]) -> Any:
    """What stays of `figure` while `changing` are drawn above it; from now on nothing else draws these."""
    for artist in changing:
        artist.set_animated(True)
    canvas = _canvas(figure)
    canvas.draw()
    return canvas.copy_from_bbox(figure.bbox)


def _canvas(figure: Figure) -> FigureCanvasAgg:
    canvas = figure.canvas
    return canvas if isinstance(canvas, FigureCanvasAgg) else FigureCanvasAgg(figure)


def log_scale_y(axis: Axes, values: pd.Series) -> None:
    """A logarithmic y axis for `values`, in plain numbers."""
    # A trial may reach zero wait, which has no logarithm.
    if values.min() > 0:
        axis.set_yscale("log")
        wide = values.max() > 10 * values.min()
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if wide else (1, 1.5, 2, 3, 4, 5, 6, 8)))
        axis.yaxis.set_minor_locator(NullLocator())
    else:
        axis.set_yscale("symlog")
    axis.yaxis.set_major_formatter("{x:,.0f}")


def policy_panels(
    summary: pd.DataFrame, case: str, extra_rows: int = 0, text: str = "{}"
) -> tuple[Figure, list[tuple[Axes, pd.DataFrame]]]:
    """Axes per value of the column `case` with one row per policy, the first policy of `summary` on top."""
    groups = [group for _, group in summary.groupby(case)]
    rows = max(map(len, groups)) + extra_rows
    figure, axes = panels(len(groups), 2, 5.2, 1.3 + 0.22 * rows)
    for axis, group in zip(axes, groups, strict=True):
        axis.set_title(text.format(group[case].iloc[0]), fontsize="medium")
        axis.set_yticks(range(len(group)), group["policy"], fontsize="small")
        axis.set_ylim(len(group) - 0.4 + extra_rows, -0.6)
        axis.grid(visible=False, axis="y")
    return figure, list(zip(axes, groups, strict=True))
