"""What is scheduled on what, as configurations say it: typed, and light to import."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict, model_validator

from spane_rllib.core.settings import Settings
from spane_rllib.problems.gpu_jobs.workloads.settings import ReadingSettings


class GpuTypeSettings(Settings):
    """GPUs of one type."""

    name: str = Field(min_length=1, max_length=40, description="Of the type.")
    count: int = Field(ge=1, le=100_000, description="GPUs of the type.")
    flops: float = Field(gt=0, le=1e18, description="FLOPS of one: the type of most comes first.")
    speed: float = Field(default=1.0, gt=0, le=1000, description="Run times are divided by it.")
    node: int = Field(
        default=0, ge=0, le=1024, description="GPUs of a node; 0: one pool, whatever the nodes."
    )


_PUBLISHED = (
    GpuTypeSettings(name="A100", count=16, flops=1.95e13),
    GpuTypeSettings(name="V100", count=16, flops=1.57e13),
    GpuTypeSettings(name="T4", count=12, flops=8.1e12),
    GpuTypeSettings(name="4090", count=12, flops=8.26e13),
)


class ClusterSettings(Settings):
    """The GPUs."""

    types: Annotated[tuple[GpuTypeSettings, ...], Strict(False), Field(min_length=1, max_length=64)] = Field(
        default=_PUBLISHED, description="Types of GPUs (default: the 56 of the reference)."
    )
    split: Literal["never", "type", "any"] = Field(
        default="any",
        description="Whether a job that no pool can hold is spread: over nodes of one type, or over all.",
    )


_Load = Annotated[float, Field(gt=0, le=1000)]


class WindowSettings(Settings):
    """Training and validation episodes: windows of jobs on a cluster that is empty at first."""

    source: Literal["synthetic", "published", "jobs"] = Field(
        default="synthetic",
        description="What they are drawn from: our generator, the reference's, or rows of `jobs`.",
    )
    length: int = Field(default=300, ge=1, le=100_000, description="Jobs of an episode.")
    loads: Annotated[tuple[_Load, _Load], Strict(False)] = Field(
        default=(0.7, 1.3), description="Range of the load of our generator, drawn for each episode."
    )
    seconds: int = Field(default=2000, ge=1, le=10_000_000, description="Ticks of published episodes.")
    slots: int = Field(default=16, ge=1, le=256, description="Waiting jobs that a policy sees and reaches.")
    order: Literal["urgent", "work", "arrival", "priority", "shortest"] = Field(
        default="urgent",
        description="Order of the queue whose first jobs these are: least run time over priority, "
        "least GPU-seconds over priority, arrival, priority or run time; under the published rules priority.",
    )

    @model_validator(mode="after")
    def _check(self) -> WindowSettings:
        if self.loads[0] > self.loads[1]:
            raise ValueError(f"loads must be a range, got {list(self.loads)}")
        return self


class GpuJobsSettings(Settings):
    """What is scheduled, under what rules."""

    jobs: str = Field(
        default="synthetic",
        min_length=1,
        max_length=4096,
        description="Workload: a file, synthetic[:jobs=N,load=L,seed=S] or published[:seconds=T,seed=S].",
    )
    reading: ReadingSettings = Field(
        default_factory=ReadingSettings, description="What the columns of files mean."
    )
    cluster: ClusterSettings = Field(default_factory=ClusterSettings, description="The GPUs.")
    rules: Literal["corrected", "published"] = Field(
        default="corrected",
        description="Ours, from event to event, or the reference's: ticks of a second, one start each.",
    )
    horizon: Annotated[float, Field(gt=0, le=1e12)] | None = Field(
        default=None, description="Seconds at which simulations are cut off; null: never."
    )
    rebase: bool | None = Field(
        default=None,
        description="Whether the first job arrives at 0; null: under the corrected rules.",
    )
    runtimes: Literal["known", "estimated", "unknown"] = Field(
        default="known",
        description="What schedulers know of run times: all, an estimate, or nothing (an hour for each).",
    )
    noise: float = Field(
        default=0.5, ge=0, le=10, description="Standard deviation of the logarithm of estimates."
    )
    restart: float = Field(
        default=30.0, ge=0, le=1e6, description="Seconds that an interrupted job loses when it goes on."
    )
    episode: WindowSettings = Field(
        default_factory=WindowSettings, description="Training and validation episodes."
    )
