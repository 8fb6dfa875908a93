"""What the pages on extensions show stands in the examples, word for word, and those run in tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGES = ("extending.md", "adding_a_problem.md")
SUFFIXES = {"python": ".py", "yaml": ".yaml", "toml": ".toml"}


@pytest.mark.parametrize("page", PAGES)
def test_snippets_stand_in_the_examples(page: str, examples: Path) -> None:
    text = (examples.parent / "docs" / page).read_text(encoding="utf-8")
    snippets = re.findall(r"^```(python|yaml|toml)\n(.*?)^```", text, re.M | re.S)
    assert len(snippets) > 3
    for language, snippet in snippets:
        files = [file.read_text(encoding="utf-8") for file in examples.rglob(f"*{SUFFIXES[language]}")]
        for piece in snippet.split("...\n"):
            assert any(piece.strip("\n") in file for file in files), piece


@pytest.mark.parametrize("page", PAGES)
def test_links_and_files_are_there(page: str, examples: Path) -> None:
    docs = examples.parent / "docs"
    text = (docs / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (docs / link).exists(), link
    for file in re.findall(r"`(spane_rllib/[\w/.]+)`", text):
        assert (examples.parent / file).exists(), file


def test_the_toy_is_as_small_as_the_page_says(examples: Path) -> None:
    lines = [len(file.read_text().splitlines()) for file in (examples / "bin_packing").glob("*.py")]
    assert sum(lines) < 300
    page = (examples.parent / "docs" / "adding_a_problem.md").read_text(encoding="utf-8")
    [said] = re.findall(r"in (\d+) lines", page)
    assert abs(sum(lines) - int(said)) <= 10
