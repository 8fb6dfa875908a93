"""The page on the architecture names every folder of the package, and none that is not there."""

import re
from pathlib import Path

import spane_rllib

PACKAGE = Path(spane_rllib.__file__).parent
DOCS = PACKAGE.parent / "docs"


def folders() -> set[str]:
    """Those with Python files, two levels deep, and those within a problem."""
    found = {file.parent.relative_to(PACKAGE).as_posix() for file in PACKAGE.rglob("*.py")}
    return {f"{folder}/" for folder in found if folder != "."}


def test_the_page_names_every_room() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `([a-z_/]+/)` \|", text, re.M))
    assert named - {"pretrained/"} == folders()


def test_what_the_page_names_is_there() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    for name in re.findall(r"`([a-z_/]+\.(?:py|md))`", text):
        assert any((root / name).is_file() for root in (PACKAGE, PACKAGE.parent, PACKAGE / "core")), name
    for link in re.findall(r"\]\(([a-z_]+\.md)[^)]*\)", text):
        assert (DOCS / link).is_file(), link
