"""`report.html`, and the differences with intervals that the report has."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from experiment_tables import HEURISTICS, make_episodes, make_trials

from spane_rllib.core.markdown import image, table
from spane_rllib.experiments.reports.differences import differences, differences_text
from spane_rllib.experiments.reports.page import html_page
from spane_rllib.problems.registry import DEFAULT, find_problem

WAITS = find_problem(DEFAULT)


def test_links_lead_to_recordings_only(tmp_path: Path) -> None:
    text = "[best](recordings/best.html) [x](http://example.org) [y](recordings/../up.html)"
    page = html_page("t", [text], tmp_path)
    assert '<a href="recordings/best.html">best</a>' in page and page.count("<a ") == 1


class Tags(HTMLParser):
    """Checks that every tag is closed, and keeps the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    assert not tags.open
    return tags


def test_a_page_by_hand(tmp_path: Path) -> None:
    (tmp_path / "a figure.png").write_bytes(b"\x89PNG")
    blocks = [
        "# Title",
        "- one `x<y`\n- two",
        "Run it:\n\n```\npython -m x\n\n| y\n```",
        table(("policy", "value"), [("**a|b**", "1,000"), ("<script>", "n/a")]),
        image(tmp_path / "a figure.png", tmp_path),
        "**bold** text",
    ]
    page = html_page("a <title>", blocks, tmp_path)
    tags = read(page)
    assert [tags.seen.count(tag) for tag in ("h1", "li", "pre", "table", "img", "script")] == [
        1,
        2,
        1,
        1,
        1,
        1,
    ]
    assert '<td class="text"><b>a|b</b></td><td class="number">1,000</td>' in page
    assert '<td class="text">&lt;script&gt;</td>' in page and "python -m x\n\n| y" in page
    assert 'src="data:image/png;base64,iVBORw=="' in page and "<code>x&lt;y</code>" in page
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)  # nothing is loaded


def test_differences_are_paired_and_against_the_reference() -> None:
    trials = make_trials({"spane": 2})
    episodes = make_episodes([*trials["trial"], *HEURISTICS], servers=(5, 9), count=400)
    found = differences(WAITS, episodes.sample(frac=1, random_state=0), trials)
    assert set(found["a"]) == {"keep-64"} and set(found["servers"]) == {5, 9}
    headline = found[(found["statistic"] == WAITS.statistics.headline) & (found["servers"] == 5)]
    assert set(headline["b"]) == {*trials["trial"], "first-fit", "best-fit"}
    assert np.allclose(headline["difference"], headline["value_b"] - headline["value_a"])
    assert (headline["difference_low"] < headline["difference"]).all()
    assert (headline["difference"] < headline["difference_high"]).all()
    text = "\n".join(differences_text(WAITS, found))
    rows = [line for line in text.splitlines() if line.startswith("| spane") or line.startswith("| first")]
    assert len(rows) == 6 and rows[0].startswith("| spane-000")
    assert "| better |" in text and "2,000 bootstrap resamples of blocks of 2,000 start rows" in text


def test_differences_without_a_reference() -> None:
    trials = make_trials({"spane": 2})
    learned = make_episodes(list(trials["trial"]))
    assert differences(WAITS, learned, trials).empty
    assert list(differences_text(WAITS, pd.DataFrame())) == []
    # The best baseline where the problem's reference was not evaluated; one block has no intervals.
    episodes = make_episodes([*trials["trial"], "first-fit", "sbf"], count=10)
    found = differences(WAITS, episodes, trials)
    assert set(found["a"]) == {"first-fit"}
    text = "\n".join(differences_text(WAITS, found))
    assert "n/a" in text and "one block" in text


@pytest.mark.parametrize("better", ["less", "more"])
def test_the_verdict(better: str) -> None:
    statistics = WAITS.statistics
    sign = 1 if statistics.better == better else -1
    found = pd.DataFrame(
        {
            "statistic": [statistics.headline] * 3,
            "a": "keep-64",
            "b": ["x", "y", "z"],
            "servers": 5,
            "value_b": [1.0, 2.0, 3.0],
            "difference": [-2.0 * sign, 0.0, 2.0 * sign],
            "difference_low": [-3.0 * sign if sign > 0 else 1.0, -1.0, 1.0 if sign > 0 else -3.0],
            "difference_high": [-1.0 if sign > 0 else 3.0, 1.0, 3.0 if sign > 0 else -1.0],
        }
    )
    text = "\n".join(differences_text(WAITS, found))
    verdicts = [re.search(rf"\| {name} .* (\w+) \|$", text, re.M)[1] for name in "xyz"]  # type: ignore[index]
    assert verdicts == (["better", "no", "worse"] if sign > 0 else ["worse", "no", "better"])
