"""docs/which_policy.md decides by figures of other pages alone."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
_FIGURE = re.compile(r"(?<![\w.-])\d[\d,]*\.?\d*")


def _figures(path: Path) -> set[str]:
    """Numbers of at least three digits: others are counts, or too common to tell where they are from."""
    found = (match.group().rstrip(".,") for match in _FIGURE.finditer(path.read_text()))
    return {figure for figure in found if sum(map(str.isdigit, figure)) >= 3}


def test_figures_are_those_of_the_pages_that_measured_them() -> None:
    page = DOCS / "which_policy.md"
    measured = _figures(DOCS.parent / "README.md").union(
        *(_figures(other) for other in DOCS.glob("*.md") if other != page)
    )
    assert len(_figures(page)) > 50
    assert _figures(page) <= measured
