"""What policies are judged by: the measure of validation, and the statistics of evaluated episodes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Better = Literal["less", "more"]


@dataclass(frozen=True)
class Measure:
    """What a problem is measured by in validation.

    Args:
        name: as in the metrics `validation_<name>`, `best_validation_<name>` and `episode_<name>`.
        unit: what is added to these in the columns of tables, as in "_s".
        title: of an axis or a column, with the unit.
        better: whether less or more of it is.
        text: format of one value for people.
        logarithmic: whether axes that show it are.
    """

    name: str
    unit: str
    title: str
    better: Better
    text: str = "{:,.1f}"
    logarithmic: bool = False

    @property
    def metric(self) -> str:
        """The metric of a validation."""
        return f"validation_{self.name}"

    @property
    def column(self) -> str:
        """Its column in `curves.csv`; with `best_` in front of it, in `trials.csv`."""
        return self.metric + self.unit

    @property
    def mode(self) -> Literal["min", "max"]:
        """What Ray Tune calls `better`."""
        return "min" if self.better == "less" else "max"


@dataclass(frozen=True)
class Statistic:
    """One statistic of a sample of episodes.

    Args:
        title: of its column, with the unit.
        text: format of one value for people.
        better: whether less or more of it is; None where it says nothing about the policy.
        derived: whether it tells policies apart as another one does, of which it is a multiple.
    """

    title: str
    text: str = "{:,.3f}"
    better: Better | None = "less"
    derived: bool = False

    @property
    def name(self) -> str:
        """The title without the unit."""
        return self.title.partition(", ")[0]

    def show(self, value: float) -> str:
        """`value` as tables show it."""
        return self.text.format(value) if math.isfinite(value) else "n/a"


@dataclass(frozen=True)
class Statistics:
    """How the episodes of a policy are summarised, and two policies compared.

    Args:
        by_name: the statistics in the order of tables; the keys are columns of `summary.csv`.
        headline: the one that tables are sorted and figures drawn by.
        compared: those that reports give with intervals.
        value: column of the episode table that is compared episode by episode; less or more of it is better
            as of the headline.
        tie: values of one episode that differ by no more are equal.
        value_title: of it, with the unit.
        verbs: what is said of a policy whose value is better, equal and worse; the last word of the first
            stands for it in tables.
        note: what a reader of tables must know of the statistics.
        block_rows: episodes whose `Problem.pair` divided by this is the same are resampled together, since
            neighbours overlap. 1: every episode by itself.
        blocks: what lies in a block.
        reference: the baseline that studies compare with.
        bound: key of `Problem.estimate` and `summarize` that bounds the headline under any policy.
        figure: name of the figure of headlines.
    """

    by_name: Mapping[str, Statistic]
    headline: str
    compared: tuple[str, ...]
    value: str
    tie: float = 0.0
    value_title: str = ""
    verbs: tuple[str, str, str] = ("is better", "as good", "worse")
    note: str = ""
    block_rows: int = 1
    blocks: str = "episodes"
    reference: str = ""
    bound: str = ""
    figure: str = "headline"

    @property
    def better(self) -> Better:
        """Whether less or more of the headline is better."""
        return self.by_name[self.headline].better or "less"

    @property
    def beside_headline(self) -> list[str]:
        """The statistics that fit on the headline's axis, itself among them."""
        shown = self.by_name[self.headline]
        return [name for name, s in self.by_name.items() if (s.text, s.better) == (shown.text, shown.better)]
