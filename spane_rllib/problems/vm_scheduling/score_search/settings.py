"""The settings of the search for a placement score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, Strict, model_validator

from spane_rllib.core.settings import Settings, distinct
from spane_rllib.problems.search import SearchMethod, SearchValidation
from spane_rllib.problems.vm_scheduling.settings import ClusterSettings, ServerCount, WaitInstanceSettings

if TYPE_CHECKING:
    from spane_rllib.problems.vm_scheduling.score_search.task import ScoreSearchTask


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


class ScoreValidation(SearchValidation):
    """Episodes that choose the generation that is kept, on the same sizes with the same shares."""

    episodes: int = Field(
        default=4000, ge=1, le=1_000_000, description="Validation episodes on `cluster.servers` servers."
    )
    other_episodes: int = Field(
        default=300, ge=1, le=1_000_000, description="Validation episodes on each of the other sizes."
    )


class ScoreSearchSettings(WaitInstanceSettings):
    """What the search is about, and how it is done."""

    cluster: ClusterSettings = Field(default_factory=ClusterSettings, description="The servers.")
    step: float = Field(
        default=0.5, gt=0, le=10, description="Initial standard deviation of each coordinate."
    )
    windows: WindowSettings = Field(
        default_factory=WindowSettings, description="Episodes that candidates are judged on."
    )
    validation: ScoreValidation = Field(
        default_factory=ScoreValidation, description="Episodes that choose what is kept."
    )

    @model_validator(mode="after")
    def _check_sizes(self) -> ScoreSearchSettings:
        if self.cluster.server_groups is not None:
            raise ValueError("cluster.server_groups: not allowed here; scores are searched on equal servers")
        if self.cluster.servers in self.windows.other_servers:
            raise ValueError(f"windows.other_servers: must not hold cluster.servers, {self.cluster.servers}")
        return self

    @property
    def shares(self) -> dict[int, float]:
        """Weight in the cost by number of servers; they sum to 1."""
        others = self.windows.other_servers
        share = self.windows.other_share if others else 0.0
        return {self.cluster.servers: 1 - share} | {size: share / len(others) for size in others}

    def counts(self, of: WindowSettings | ScoreValidation) -> dict[int, int]:
        """Episodes by number of servers."""
        others = dict.fromkeys(self.windows.other_servers, of.other_episodes)
        return {self.cluster.servers: of.episodes} | others


class PlacementScoreSearch(SearchMethod):
    """CMA-ES over the weights of a `PlacementScore`, see `search`."""

    settings = ScoreSearchSettings

    def load(self, task: Any, settings: Any) -> ScoreSearchTask:
        from spane_rllib.problems.vm_scheduling.score_search.task import ScoreSearchTask

        return ScoreSearchTask(task, settings)
