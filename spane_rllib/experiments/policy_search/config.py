"""The typed configuration of direct policy search, `python -m spane_rllib.search`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, Field, Strict, model_validator

from spane_rllib.core.settings import Name, PathText, Seed, Settings, distinct
from spane_rllib.experiments.tuning.config import ClusterSettings, ServerCount, SplitSettings, TraceSettings
from spane_rllib.experiments.tuning.loading import SEARCH_PRESETS, read_settings


class WindowSettings(Settings):
    """Episodes that candidates are judged on: the same for all of a generation, new ones for the next."""

    episodes: int = Field(
        default=3000, ge=1, le=1_000_000, description="Episodes on `cluster.servers` servers."
    )
    other_servers: Annotated[tuple[ServerCount, ...], Strict(False), AfterValidator(distinct)] = Field(
        default=(2, 3, 4, 6, 7, 8, 9),
        description="Other cluster sizes that count too, so that the policy is good on them as well.",
    )
    other_episodes: int = Field(
        default=100, ge=1, le=1_000_000, description="Episodes on each of the other sizes."
    )
    other_share: float = Field(
        default=0.4, ge=0, lt=1, description="Share of the other sizes, together, in the cost."
    )


class SearchValidation(Settings):
    """Episodes that choose the generation that is kept, on the same sizes with the same shares."""

    every: int = Field(default=3, ge=1, le=1_000_000, description="Generations between validations.")
    episodes: int = Field(
        default=4000, ge=1, le=1_000_000, description="Validation episodes on `cluster.servers` servers."
    )
    other_episodes: int = Field(
        default=300, ge=1, le=1_000_000, description="Validation episodes on each of the other sizes."
    )
    seed: Seed = Field(default=0, description="Seed of the drawn starts; the same for all searches.")


class SearchConfig(Settings):
    """One experiment: several searches that differ in their seed alone."""

    name: Name = Field(description="Name of the experiment and of its folder under `output`.")
    output: PathText = Field(default="results", description="Folder that receives the experiment's folder.")
    seed: Seed = Field(default=0, description="Decides the seeds of the searches.")
    seeds: int = Field(default=5, ge=1, le=1000, description="Searches.")
    trace: TraceSettings = Field(default_factory=TraceSettings, description="Which VM trace.")
    cluster: ClusterSettings = Field(default_factory=ClusterSettings, description="The servers.")
    splits: SplitSettings | None = Field(
        default=None,
        description="Shares of the trace to start episodes in; null: the published split of a known dataset, "
        "else the default shares.",
    )
    generations: int = Field(default=30, ge=1, le=1_000_000, description="Generations of each search.")
    population: int = Field(default=12, ge=4, le=10_000, description="Candidates per generation.")
    step: float = Field(
        default=0.5,
        gt=0,
        le=10,
        description="Initial standard deviation of each coordinate.",
    )
    windows: WindowSettings = Field(
        default_factory=WindowSettings, description="Episodes that candidates are judged on."
    )
    validation: SearchValidation = Field(
        default_factory=SearchValidation, description="Episodes that choose what is kept."
    )
    workers: int = Field(
        default=0,
        ge=0,
        le=4096,
        description="Ray tasks at a time; 0: in this process, without Ray.",
    )

    @model_validator(mode="after")
    def _check_combination(self) -> SearchConfig:
        if self.cluster.servers in self.windows.other_servers:
            raise ValueError(f"windows.other_servers: must not hold cluster.servers, {self.cluster.servers}")
        if self.validation.every > self.generations:
            raise ValueError(
                f"validation.every {self.validation.every} exceeds generations {self.generations}, so no "
                "validation would take place"
            )
        return self

    @property
    def shares(self) -> dict[int, float]:
        """Weight in the cost by number of servers; they sum to 1."""
        others = self.windows.other_servers
        share = self.windows.other_share if others else 0.0
        return {self.cluster.servers: 1 - share} | {size: share / len(others) for size in others}

    def counts(self, episodes: int, other_episodes: int) -> dict[int, int]:
        """Episodes by number of servers."""
        return {self.cluster.servers: episodes} | dict.fromkeys(self.windows.other_servers, other_episodes)


def load_search(source: str | os.PathLike[str], overrides: Iterable[str] = ()) -> SearchConfig:
    """Read a search.

    Args:
        source: path of a YAML file, or the name of a preset (`policy_search` or `policy_search.yaml`).
        overrides: `key=value` each, the value in YAML; they win over the file.

    Raises:
        UserError: the file, a key, a value or an override is invalid.
    """
    return read_settings(SearchConfig, source, overrides, SEARCH_PRESETS)[0]
