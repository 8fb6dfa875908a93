"""Studies of a problem's own for `python -m spane_rllib.study`: tables whose rows are not just policies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from spane_rllib.core.settings import Name, PathText, Seed, Settings
from spane_rllib.problems.problem import Evaluation, Problem

if TYPE_CHECKING:
    import pandas as pd


class OwnStudySettings(Settings):
    """What every study of a problem's own has."""

    problem: str = Field(description="What is scheduled.")
    study: str = Field(description="Which study.")
    name: Name = Field(description="Name of the study and of its folder under `output`.")
    output: PathText = Field(default="results", description="Folder that receives the study's folder.")
    seed: Seed = Field(default=0, description="Seed of the bootstrap.")
    resamples: int = Field(default=2000, ge=100, le=100_000, description="Resamples of the bootstrap.")


@dataclass(frozen=True)
class Cell:
    """One row: episodes of a policy, or what is made of them.

    Args:
        group: rows of one group are compared with its first one.
        label: what the row is about.
        evaluation: which episodes; it has one case.
        policy: who plays. Where it counts `seconds` and `decisions`, the table tells its cost.
        shown: who the table says it is.
        derived: what is made of the episodes, as a bound on them.
    """

    group: str
    label: str
    evaluation: Evaluation
    policy: Any
    shown: str
    derived: Callable[[pd.DataFrame], pd.DataFrame] | None = None


class OwnStudy(ABC):
    """A study of a problem's own."""

    settings: ClassVar[type[OwnStudySettings]]
    columns: ClassVar[tuple[str, str]]
    """What the table calls `Cell.group` and `Cell.label`."""
    statistics: ClassVar[tuple[str, ...]]
    """Keys of `Problem.statistics` that the report shows."""

    @abstractmethod
    def cells(self, problem: Problem, config: Any) -> Sequence[Cell]:
        """The rows, in order; raises `UserError` as `Problem.load`."""

    @abstractmethod
    def explained(self, config: Any) -> Iterator[str]:
        """Lines of the report that say what the rows mean."""
