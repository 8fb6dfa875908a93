"""What a problem is: the one interface between the problems and all that serves them.

A `Problem` is light: names, typed settings, and how tables are read and reported. It imports nothing but the
standard library and pydantic until one of its methods is called. `Problem.load` gives a `Task`, the problem
with its data: what is trained on, played and evaluated. Commands, experiments and the RLlib layer know these
two and nothing of what is scheduled. `docs/adding_a_problem.md` makes one step by step.
"""

from __future__ import annotations

import re
import reprlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, Strict

from spane_rllib.core.errors import UserError
from spane_rllib.core.settings import Seed, Settings, distinct
from spane_rllib.problems.environments import EnvironmentSpec
from spane_rllib.problems.measures import Measure, Statistics

if TYPE_CHECKING:
    import argparse

    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from torch import nn

    from spane_rllib.core.bootstrap import Resamples
    from spane_rllib.learning.run import Run
    from spane_rllib.problems.planning import Planning
    from spane_rllib.problems.search import SearchMethod
    from spane_rllib.problems.studies import OwnStudy
    from spane_rllib.problems.viewing import Viewer

MAX_EPISODES = 1_000_000

Case = int | str
"""One size or kind of what policies play, as tables name it."""
if TYPE_CHECKING:
    from matplotlib.figure import Figure

    Block: TypeAlias = str | tuple[str, Figure] | tuple[str, pd.DataFrame]
"""Part of a report: Markdown, or a figure or a table by the name of its file."""


class ValidationSettings(Settings):
    """Episodes that choose the best weights of a trial and the best trials of a method."""

    episodes: int = Field(default=150, ge=1, le=100_000, description="Validation episodes (reference: 150).")
    every: int = Field(
        default=250,
        ge=1,
        le=10_000_000,
        description="Gradient steps between validations (reference: 250).",
    )
    seed: Seed = Field(
        default=0, description="Seed of the drawn validation episodes; the same for all trials."
    )


def _check_episodes(value: Any) -> Any:
    # Ahead of the union, whose own messages name its branches.
    if value != "all" and (type(value) is not int or not 1 <= value <= MAX_EPISODES):
        raise ValueError(
            f"must be a whole number from 1 to {MAX_EPISODES:,}, or all, got {reprlib.repr(value)}"
        )
    return value


EpisodeCount = Annotated[
    Annotated[int, Field(ge=1, le=MAX_EPISODES)] | Literal["all"], BeforeValidator(_check_episodes)
]


class EpisodeSettings(Settings):
    """The episodes that policies are compared on."""

    episodes: EpisodeCount = Field(
        default=1000,
        description="Episodes per policy and size (reference: 1000); `all`: every one there is.",
    )
    seed: Seed = Field(default=0, description="Seed of the drawn episodes and of the heuristic `random`.")
    heuristics: Annotated[tuple[str, ...], Strict(False), AfterValidator(distinct)] = Field(
        default=(), description="Heuristics to compare with."
    )


@dataclass(frozen=True)
class Identity:
    """What a task's results depend on beside its settings: the data.

    Args:
        name: of the data, for people.
        sha256: hash of its content.
        size: how many items it has.
        description: one line for reports.
    """

    name: str
    sha256: str
    size: int
    description: str

    @property
    def short(self) -> str:
        """One line for terminals, where a part of a hash will do."""
        return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52}\b", r"\1", self.description)


class Policy(Protocol):
    """What decides. How it plays is between a `Task` and its policies."""

    @property
    def name(self) -> str:
        """What tables call it."""
        ...

    @property
    def identity(self) -> str:
        """What decides its actions: a name with parameters, or the hash of a model."""
        ...


@dataclass(frozen=True)
class Part:
    """All episodes of one policy on one case: what is evaluated, stored and found again as a whole.

    Args:
        policy: who plays.
        case: on what.
        key: hash of all that decides the result but the policy's name.
    """

    policy: Any
    case: Case
    key: str


class Evaluation(ABC):
    """Episodes that policies are compared on, the same for all of them."""

    task: Task
    cases: Sequence[Case]
    pairs: npt.NDArray[np.int64]
    """(E,) the values of `Problem.pair` of the episodes, in the order they are played."""
    policies: Sequence[Any] = ()
    """Who plays where the evaluation itself says so."""
    chosen: str = ""
    """How the episodes were chosen, as in "drawn with seed 0"."""

    def refusal(self, policy: Any, case: Case) -> str:
        """Why `policy` cannot play `case`, or nothing."""
        return ""

    @abstractmethod
    def part(self, policy: Any, case: Case) -> Part:
        """All episodes of `policy` on `case`."""

    @abstractmethod
    def play(self, part: Part, first: int, last: int) -> pd.DataFrame:
        """Episodes `first` to `last` - 1 of a part, one row each with `Problem.episode_columns`.

        Pure: in whatever pieces and processes a part is played, the rows are the same.
        """

    def means(self, policies: Sequence[Any], column: str) -> dict[str, float]:
        """The mean of a column over all episodes of the first case, by the names of the policies."""
        played = {
            policy.name: self.play(self.part(policy, self.cases[0]), 0, len(self.pairs))
            for policy in policies
        }
        return {name: float(episodes[column].mean()) for name, episodes in played.items()}

    def record(self, policies: Sequence[Any], folder: Path, most: int) -> Iterator[Path]:
        """Record the first `most` episodes under each policy and case for the viewer; yields every file."""
        raise UserError(f"episodes of the problem {self.task.problem.name} cannot be recorded")

    def record_pairs(self, policy: Any, case: Case, pairs: Sequence[int], folder: Path) -> Sequence[Path]:
        """Record the episodes of these values of `Problem.pair`; a file each, or none where it cannot."""
        return ()

    def results(
        self, episodes: pd.DataFrame, summary: pd.DataFrame
    ) -> Iterator[tuple[str, pd.DataFrame | str]]:
        """What `evaluate --output` writes, by the name of the file: tables as CSV (or Parquet), and texts."""
        yield "episodes.csv", episodes
        yield "summary.csv", summary

    @property
    def description(self) -> str:
        """What is played, one line."""
        return self.task.identity.description

    def summary_text(self, summary: pd.DataFrame) -> str:
        """`Problem.summarize` for a terminal."""
        return self.task.problem.summary_text(summary)


class Task(ABC):
    """A problem with its data. Everything here is decided by what it was loaded with."""

    problem: Problem
    identity: Identity

    @property
    @abstractmethod
    def environment(self) -> tuple[str, dict[str, Any]]:
        """The id of the environment that is trained on, and its keywords as JSON values."""

    def environment_of(self, network: str) -> tuple[str, dict[str, Any]]:
        """`environment` for a kind of network, where some are trained on another one."""
        return self.environment

    @property
    def shared(self) -> Mapping[str, Any]:
        """Large objects by the names that the keywords of `environment` call them.

        Trials get them through Ray's object store and make them known with `core.shared.provide`.
        """
        return {}

    @abstractmethod
    def build_network(self, kind: str, options: Mapping[str, Any], seed: int) -> nn.Module:
        """A network with fresh weights; raises `UserError` for an unknown kind or option."""

    @abstractmethod
    def begin_run(
        self,
        network: Any,
        settings: Any,
        validation: Any,
        seed: int,
        target: nn.Module | None = None,
    ) -> Run:
        """A training run of the algorithm that `settings` belong to; it changes `network` in place.

        Args:
            network: as `build_network` makes it.
            settings: hyper-parameters, one of `Problem.algorithms`.
            validation: how the best weights are chosen, a `Problem.validation`.
            seed: decides all that is drawn.
            target: the target network of algorithms that have one; None for a copy.
        """

    def validate_baselines(self, names: Sequence[str], validation: Any) -> Mapping[str, float]:
        """What baselines come to on the validation episodes of trials; empty where they are not played."""
        return {}

    @abstractmethod
    def save_model(
        self,
        directory: str | Path,
        network: Any,
        *,
        seed: int,
        metrics: Mapping[str, float | None],
        training: Mapping[str, Any],
    ) -> None:
        """Write a trained network as a model directory, safetensors and JSON, in one step."""

    @abstractmethod
    def load_policy(self, text: str, name: str | None = None) -> Policy:
        """The policy that `text` means, called `name` in tables (default: `text`).

        That is a baseline, a shipped model (`NAME@pretrained`), the directory of a model, or
        `module:Class`, an `acting.ActingPolicy`.

        Raises:
            UserError: it is none of these, or damaged.
        """

    @abstractmethod
    def evaluation(self, settings: Any) -> Evaluation:
        """The episodes that a `Problem.evaluation` describes; raises `UserError` where there are none."""


class Problem(ABC):
    """A problem; every attribute that has no default must be given by the subclass."""

    name: ClassVar[str]
    """As YAML (`problem: <name>`) and `--problem` call it."""
    title: ClassVar[str]
    """One line for lists of problems."""
    measure: ClassVar[Measure]
    environments: Mapping[str, EnvironmentSpec]
    """By Gymnasium id."""
    instance: ClassVar[type[Settings]]
    """What is scheduled. Its fields are keys at the top level of a configuration."""
    validation: ClassVar[type[ValidationSettings]] = ValidationSettings
    evaluation: ClassVar[type[EpisodeSettings]] = EpisodeSettings
    algorithms: Mapping[str, type[Settings]]
    """Hyper-parameters by name of the algorithm; the first is the default. See `learning.algorithms`."""
    networks: Mapping[str, type[Settings]]
    """Options by kind of network; the first is the default."""
    baselines: Mapping[str, str]
    """Heuristics and solvers, one line each."""
    statistics: Statistics
    episode_columns: Mapping[str, type]
    """Columns of episode tables with their types, `policy`, `case` and `pair` among them."""
    case: ClassVar[str] = "case"
    """The column that tells the case."""
    case_text: ClassVar[str] = "{}"
    """A case for people."""
    pair: ClassVar[str] = "episode"
    """The column that tells episodes apart: policies are compared on equal values."""
    searches: Mapping[str, SearchMethod] = {}
    """Methods of direct search by name; the first is the default."""
    studies: Mapping[str, OwnStudy] = {}
    """Studies of its own for `python -m spane_rllib.study`, by the value of their key `study`."""
    planning: Planning | None = None
    """What `python -m spane_rllib.plan` makes plans by, where the problem has any."""
    viewer: Viewer | None = None
    """What shows recordings, where the problem has any."""
    factored_actions: ClassVar[bool] = False
    """Actions have several parts; networks `sample`, choose (`greedy`) and `evaluate` them as a whole."""
    marks: frozenset[str] = frozenset()
    """Keys or options that mean this problem where none is named."""
    changeable: tuple[str, ...] = ()
    """Keys of a configuration, dotted, that may change when an experiment is continued."""

    def check(self, config: Any) -> None:  # noqa: B027  # most problems have nothing to add
        """Raise a `ValueError` if the sections of an experiment do not go together."""

    @abstractmethod
    def load(self, settings: Any, shared: Mapping[str, Any] | None = None) -> Task:
        """The task that a configuration with the fields of `instance` is about.

        Raises:
            UserError: data cannot be read, or does not fit the settings.
        """

    @abstractmethod
    def load_environment(self, environment: str, keywords: Mapping[str, Any]) -> Task:
        """The task that the environment of this id and keywords is about; raises as `load`."""

    def keywords_of(self, settings: Any) -> dict[str, Any]:
        """Keywords of the environment that the hyper-parameters `settings` decide, as its reward."""
        return {}

    def compile_ahead(self) -> None:  # noqa: B027  # nothing is compiled in some problems
        """Fill the compile cache, before many processes need it at the same moment."""

    def missing_parts(self, policies: Sequence[Any] | None = None) -> Sequence[str]:
        """Parts of `compile_ahead` that the cache lacks and that can be compiled side by side.

        They are dealt out to processes in this order.

        Args:
            policies: who is evaluated, empty for what is needed whoever it is; None where it is trained.
        """
        return ()

    def compile_part(self, part: str) -> None:  # noqa: B027  # there are none
        """Compile one of `missing_parts`."""

    # What the commands ask for.

    def import_models(self, folders: Mapping[Path, Path]) -> list[str]:
        """Turn weights made elsewhere into model folders: files by folder; a line about each.

        Raises:
            UserError: a file is none of these, and then nothing is written; or there are none of the problem.
        """
        raise UserError(f"problem {self.name}: knows no weights made elsewhere")

    @abstractmethod
    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options that say what is played: `evaluation_of` reads them."""

    @abstractmethod
    def evaluation_of(self, arguments: argparse.Namespace) -> Evaluation:
        """The evaluation that parsed options name; raises `UserError` as `load`, or where options clash."""

    def job_arguments(self, arguments: argparse.Namespace) -> list[str]:
        """The options of `add_arguments` for a process elsewhere that reads the same storage.

        Paths are absolute and defaults spelt out; `evaluation_of` has read the `arguments` before.
        """
        raise UserError(f"problem {self.name}: jobs cannot evaluate it")

    def placed(self, settings: Any, data: str | None = None) -> Any:
        """A configuration whose paths mean the same in a process elsewhere that reads the same storage.

        Args:
            settings: with the fields of `instance`.
            data: where the data is; None for what `settings` name.

        Raises:
            UserError: the problem has no data to place.
        """
        if data is not None:
            raise UserError(f"problem {self.name}: reads no data; leave it out")
        return settings

    # What is read from tables alone: no data, no Ray.

    @abstractmethod
    def summarize(self, episodes: pd.DataFrame) -> pd.DataFrame:
        """One row per policy and case: `policy`, `case`, `episodes` and at least the statistics by name."""

    def summary_text(self, summary: pd.DataFrame) -> str:
        """The summary for a terminal, best first within each case."""
        from spane_rllib.core.console import format_table

        statistics = self.statistics
        ordered = summary.sort_values(
            statistics.headline, ascending=statistics.better == "less", kind="stable"
        )
        ordered = ordered.sort_values(self.case, kind="stable")
        header = ("policy", self.case, "episodes", *(s.title for s in statistics.by_name.values()))
        names = ["policy", self.case, "episodes", *statistics.by_name]
        main = ("policy", self.case, statistics.by_name[statistics.headline].title, *header[3:])
        rows = [tuple(row) for row in ordered[names].itertuples(index=False)]
        return format_table(header, rows, tuple(dict.fromkeys(main)))

    @abstractmethod
    def estimate(self, episodes: pd.DataFrame, resamples: Resamples) -> dict[str, npt.NDArray[np.float64]]:
        """(1 + R,) values of every statistic, of the episodes of one policy on one case and each resample.

        `resamples` are of these episodes in the order of the table. Further keys, as of a bound, are shown
        without intervals.
        """

    def what_was_run(self, config: Any, identity: Identity) -> Iterator[str]:
        """Lines of a report that say what was played, the identity's first."""
        yield identity.description

    def report(self, episodes: pd.DataFrame, summary: pd.DataFrame, trials: pd.DataFrame) -> Iterator[Block]:
        """What a report says of the evaluation beside its tables: Markdown, figures and further tables.

        `trials` has the columns `trial`, `method`, `seed`, `rank` (1 is the best of its method by validation)
        and the best validation; policies that are no trial are baselines. Text must hold whoever comes out
        best.
        """
        return iter(())
