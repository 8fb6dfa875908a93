"""Direct searches for a policy: candidates are asked for, judged on whole episodes, and told what they cost.

What a problem offers for `python -m spane_rllib.search`, beside `problem.Problem`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import Field

from spane_rllib.core.settings import Seed, Settings

if TYPE_CHECKING:
    import numpy as np

    from spane_rllib.problems.problem import Task


class SearchValidation(Settings):
    """Episodes that choose the generation that is kept."""

    every: int = Field(default=3, ge=1, le=1_000_000, description="Generations between validations.")
    seed: Seed = Field(default=0, description="Seed of the drawn starts; the same for all searches.")


class Asking(Protocol):
    """One search; decided by its seed and the costs that it was told."""

    def ask(self) -> Sequence[Any]:
        """The candidates of the next generation."""
        ...

    def tell(self, costs: Sequence[float]) -> None:
        """The costs of the candidates last asked for, in their order."""
        ...

    @property
    def centre(self) -> Any:
        """The best guess so far, as it would be stored."""
        ...


class SearchTask(ABC):
    """A method of search with its data; worker processes get a copy."""

    unseen: Any
    """The episodes of validation."""
    unit: str = ""
    """What costs are relative to, as in "first-fit = 1"."""

    @abstractmethod
    def begin(self, seed: int) -> Asking:
        """A search from its start."""

    @abstractmethod
    def draw(self, generator: np.random.Generator) -> Any:
        """Episodes to judge a generation on."""

    @abstractmethod
    def judge(self, candidates: Sequence[Any], episodes: Any) -> list[float]:
        """The costs of `candidates`, in their order; less is better. Pure: judged together or one by one."""

    @abstractmethod
    def save(
        self, directory: Path, candidate: Any, *, seed: int, metrics: Mapping[str, float | None]
    ) -> None:
        """Write a candidate as a model directory."""


class SearchMethod(ABC):
    """A method of search, light until it is loaded."""

    settings: ClassVar[type[Settings]]
    """Keys of its configuration; the fields of `Problem.instance` and a `SearchValidation` are among them."""

    @abstractmethod
    def load(self, task: Task, settings: Any) -> SearchTask:
        """The search on the data of `task`.

        Args:
            task: of the same `settings`.
            settings: with the fields of `self.settings` and `population`.
        """
