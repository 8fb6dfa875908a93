"""Models that the package ships, called `NAME@pretrained`."""

from __future__ import annotations

from pathlib import Path

from spane_rllib.core.errors import UserError
from spane_rllib.core.words import suggestion

FOLDER = Path(__file__).resolve().parents[2] / "pretrained"
SUFFIX = "@pretrained"


def pretrained_names() -> list[str]:
    """What can be loaded, as in `best@pretrained`; each has a `card.md` beside its weights."""
    return [f"{folder.name}{SUFFIX}" for folder in sorted(FOLDER.glob("*/"))]


def model_folder(text: str) -> Path:
    """The folder of the model that `text` means: one that is shipped, or else a path.

    Raises:
        UserError: no model of that name is shipped.
    """
    if not text.endswith(SUFFIX):
        return Path(text)
    if text not in pretrained_names():
        raise UserError(f"policy {text!r}: not shipped; {suggestion(text, pretrained_names())}")
    return FOLDER / text.removesuffix(SUFFIX)
