"""The typed configuration of a study, `python -m spane_rllib.study`: trained models beside heuristics."""

from __future__ import annotations

import os
import reprlib
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, Strict, model_validator

from spane_rllib.core.settings import Name, PathText, Seed, Settings, distinct
from spane_rllib.experiments.tuning.config import ClusterSettings, ServerCounts, SplitSettings, TraceSettings
from spane_rllib.experiments.tuning.loading import STUDY_PRESETS, read_settings
from spane_rllib.problems.vm_scheduling.heuristic_names import HEURISTICS, HeuristicName

MAX_EPISODES = 1_000_000


def _check_episodes(value: Any) -> Any:
    # Ahead of the union, whose own messages name its branches.
    if value != "all" and (type(value) is not int or not 1 <= value <= MAX_EPISODES):
        raise ValueError(
            f"must be a whole number from 1 to {MAX_EPISODES:,}, or all, got {reprlib.repr(value)}"
        )
    return value


Paths = Annotated[
    tuple[PathText, ...],
    Strict(False),
    Field(min_length=1),
    BeforeValidator(lambda paths: [paths] if isinstance(paths, str) else paths),
    AfterValidator(distinct),
]
EpisodeCount = Annotated[
    Annotated[int, Field(ge=1, le=MAX_EPISODES)] | Literal["all"], BeforeValidator(_check_episodes)
]


class StudyEvaluation(Settings):
    """What every policy plays."""

    episodes: EpisodeCount = Field(
        default=1000,
        description="Episodes per policy and cluster size; `all`: one from every row of the split.",
    )
    split: Literal["train", "validation", "test"] = Field(
        default="test",
        description="Part of the trace where episodes start; `test` for finished methods only.",
    )
    seed: Seed = Field(default=0, description="Seed of the drawn starts and of the heuristic `random`.")
    servers: ServerCounts | None = Field(
        default=None, description="Cluster sizes, servers; null: `cluster.servers`."
    )
    heuristics: Annotated[tuple[HeuristicName, ...], Strict(False), AfterValidator(distinct)] = Field(
        default=tuple(HEURISTICS), description="Heuristics to compare with."
    )


class BootstrapSettings(Settings):
    """The intervals: percentiles over resamples of blocks of start rows, since episodes overlap."""

    resamples: int = Field(default=2000, ge=100, le=100_000, description="Resamples.")
    block_rows: int = Field(default=2000, ge=1, le=10_000_000, description="Start rows of a block.")


class StudyConfig(Settings):
    """One study: which models and heuristics to evaluate, on what, and how to compare them."""

    name: Name = Field(description="Name of the study and of its folder under `output`.")
    output: PathText = Field(default="results", description="Folder that receives the study's folder.")
    seed: Seed = Field(default=0, description="Seed of the bootstrap.")
    trace: TraceSettings = Field(default_factory=TraceSettings, description="Which VM trace.")
    cluster: ClusterSettings = Field(default_factory=ClusterSettings, description="The servers.")
    splits: SplitSettings | None = Field(
        default=None,
        description="Shares of the trace to start episodes in; null: the published split of a known dataset, "
        "else the default shares.",
    )
    groups: dict[Name, Paths] = Field(
        default_factory=dict,
        description="Models that belong together, by display name: the results folder of an experiment with "
        "`keep_weights: all` (or, where it has several methods, its folder `models/METHOD`), or a list of "
        "model directories.",
    )
    policies: Annotated[tuple[PathText, ...], Strict(False), AfterValidator(distinct)] = Field(
        default=(), description="Model directories, or heuristics, by themselves."
    )
    evaluation: StudyEvaluation = Field(
        default_factory=StudyEvaluation, description="What every policy plays."
    )
    top: Annotated[
        tuple[Annotated[int, Field(ge=1, le=10_000)], ...], Strict(False), AfterValidator(distinct)
    ] = Field(
        default=(3, 11),
        description="Means over a group's best models by validation, this many each. With 5 or more there is "
        "one without the 2 best and 2 worst too, as published for 11.",
    )
    reference: PathText = Field(
        default="keep-64", description="Evaluated policy that every other one is compared with."
    )
    bootstrap: BootstrapSettings = Field(default_factory=BootstrapSettings, description="The intervals.")
    workers: int = Field(
        default=0, ge=0, le=4096, description="Ray tasks; 0: everything in one process, without Ray."
    )

    @model_validator(mode="after")
    def _check_policies(self) -> StudyConfig:
        if not (self.groups or self.policies or self.evaluation.heuristics):
            raise ValueError("nothing to evaluate; name groups, policies or evaluation.heuristics")
        if "heuristic" in self.groups:
            raise ValueError("groups.heuristic: is what tables call heuristics; choose another name")
        return self

    @property
    def sizes(self) -> tuple[int, ...]:
        """The cluster sizes to play."""
        return self.evaluation.servers or (self.cluster.servers,)


def load_study(source: str | os.PathLike[str], overrides: Iterable[str] = ()) -> StudyConfig:
    """Read a study.

    Args:
        source: path of a YAML file, or the name of a preset (`wait_time` or `wait_time.yaml`).
        overrides: `section.key=value` each, the value in YAML; they win over the file.

    Raises:
        UserError: the file, a key, a value or an override is invalid.
    """
    return read_settings(StudyConfig, source, overrides, STUDY_PRESETS)[0]
