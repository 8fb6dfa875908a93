"""The keys of the study `information`; light."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, Strict

from spane_rllib.core.settings import Settings, distinct
from spane_rllib.problems.problem import EpisodeCount
from spane_rllib.problems.studies import OwnStudySettings
from spane_rllib.problems.vm_scheduling.queue_disciplines import FIFO, QueueText
from spane_rllib.problems.vm_scheduling.settings import ClusterSettings, SlotInstanceSettings

Noise = Annotated[float, Field(gt=0, le=1000)]


class StartSettings(Settings):
    """The episodes that all rows are of."""

    episodes: EpisodeCount = Field(default=100, description="Episodes of every row.")
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="Seed of the drawn episodes and futures.")
    split: Literal["train", "validation", "test"] = Field(
        default="test", description="Part of the trace where episodes start."
    )


class PlannerSettings(Settings):
    """How the planner `rollout` plans."""

    scenarios: int = Field(default=16, ge=2, le=10_000, description="Sampled futures per decision.")
    vms: int = Field(default=100, ge=1, le=100_000, description="Arrivals that a future has.")
    significance: float = Field(
        default=2.5, ge=0, le=100, description="Standard errors by which an alternative must be better."
    )
    alternatives: int = Field(default=6, ge=2, le=20_000, description="Slots that are tried at most.")


class InformationSettings(SlotInstanceSettings, OwnStudySettings):
    """What knowing lifetimes or arrivals is worth."""

    problem: str = Field(default="vm_scheduling", description="What is scheduled.")
    study: Literal["information"] = Field(default="information", description="Which study.")
    cluster: ClusterSettings = Field(default_factory=ClusterSettings, description="The cluster.")
    queues: Annotated[tuple[QueueText, ...], Strict(False), Field(min_length=1), AfterValidator(distinct)] = (
        Field(default=(FIFO.text, "skip"), description="Queue disciplines.")
    )
    noises: Annotated[tuple[Noise, ...], Strict(False), AfterValidator(distinct)] = Field(
        default=(2.0, 0.5, 0.1), description="Noise of predicted lifetimes; 0.5 is a typical error of 50%."
    )
    announced: float = Field(
        default=600.0, gt=0, le=1e9, description="Seconds for which arrivals are known in advance."
    )
    planner: PlannerSettings = Field(
        default_factory=PlannerSettings, description="How the planner `rollout` plans."
    )
    evaluation: StartSettings = Field(default_factory=StartSettings, description="What every row plays.")
