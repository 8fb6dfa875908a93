"""What a problem says so that `python -m spane_rllib.view` shows its recordings; light until asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Page:
    """A page that shows recordings.

    Args:
        title: of the page, as plain text.
        package: whose folder `page` has `body.html` (what is inside the body, but the scripts;
            `{{playback by STEP}}` stands for the buttons that all pages share), `style.css`
            (after the viewer's `base.css`) and the modules.
        modules: names of its scripts, each after those that it imports. Names are distinct over all of them;
            the viewer's own (`format.js`, `surface.js`, `player.js`, `controls.js`) come first and can be
            imported.
        recordings: what the scripts find as JSON in the element `recordings`, one for each file.
    """

    title: str
    package: str
    modules: Sequence[str]
    recordings: Sequence[Mapping[str, Any]]


class Animation(Protocol):
    """A figure that can be drawn at several moments, in any order.

    `changing`, where there is such an attribute, are the artists that `draw` changes; nothing else moves.
    """

    figure: Figure
    moments: Sequence[int]
    """What is drawn, in order."""

    def draw(self, moment: int) -> None:
        """Show that moment."""
        ...


class Viewer(ABC):
    """How recordings of a problem are read and drawn.

    It stands in the package that `Page.package` is about.
    """

    modules: ClassVar[Sequence[str]]
    """`Page.modules`."""

    @abstractmethod
    def read(self, file: Path, content: Mapping[str, Any]) -> Any:
        """The recording in a file.

        Args:
            file: where it is.
            content: what `recordings.read_recording` has found in it, if it is JSON; else empty.

        Raises:
            UserError: it is none, or damaged.
        """

    def check_pair(self, first: Any, second: Any) -> None:  # noqa: B027  # any two may go together
        """Raise a `UserError` unless two recordings can be looked at side by side."""

    def content(self, recording: Any) -> Mapping[str, Any]:
        """A recording as `Page.recordings` has it; unless overridden, all fields of `Settings`."""
        fields: Mapping[str, Any] = recording.model_dump()
        return fields

    def page(self, recordings: Sequence[Any]) -> Page:
        """The page for one recording, or for two side by side."""
        title = " and ".join(recording.policy for recording in recordings)
        package = type(self).__module__.rpartition(".")[0]
        return Page(title, package, self.modules, [self.content(recording) for recording in recordings])

    @abstractmethod
    def animation(self, recordings: Sequence[Any]) -> Animation:
        """Some 20 s of them, at 12 frames a second."""
