"""What trials are measured by in validation: waits, or allocations where the experiment has a scenario."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from spane_rllib.learning.policy_settings import AlgorithmSettings
from spane_rllib.learning.settings import ALLOCATION_REWARDS

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Measure:
    """Names of one measure.

    Args:
        name: as in the metrics `validation_<name>` and `best_validation_<name>`.
        unit: what is added to them in the columns of tables, "_s" or nothing.
        title: for people, with the unit.
        mode: whether less or more is better.
    """

    name: str
    unit: str
    title: str
    mode: Literal["min", "max"]

    @property
    def metric(self) -> str:
        """The metric of a validation."""
        return f"validation_{self.name}"

    @property
    def column(self) -> str:
        """Its column in `curves.csv`; `best_` in front of it, in `trials.csv`."""
        return self.metric + self.unit


WAITS = Measure("wait", "_s", "validation wait, s", "min")
ALLOCATIONS = Measure("allocations", "", "validation allocations", "max")


def measure_of(settings: AlgorithmSettings) -> Measure:
    """The measure of a run with these hyper-parameters: rewards are those of one objective."""
    return ALLOCATIONS if settings.reward in ALLOCATION_REWARDS else WAITS


def measure_in(table: pd.DataFrame) -> Measure:
    """The measure whose columns `trials.csv` or `curves.csv` has."""
    return ALLOCATIONS if any(ALLOCATIONS.column in name for name in table.columns) else WAITS
