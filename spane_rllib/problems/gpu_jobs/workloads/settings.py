"""How jobs are read: typed, and light to import."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from spane_rllib.core.settings import Settings

FORMS = ("csv", "pai2020", "openb2023", "philly", "helios", "google2011", "google2019")


class ReadingSettings(Settings):
    """What raw tables mean as GPU jobs. The plain CSV form has its GPUs and priorities as they are."""

    form: Literal["csv", "pai2020", "openb2023", "philly", "helios", "google2011", "google2019"] = Field(
        default="csv",
        description="Form of the file: csv (arrival_time, runtime, gpus, priority), or a public table: "
        "Alibaba PAI 2020 pai_task_table, openb 2023 pod list, Philly cluster_job_log, Helios cluster_log, "
        "Google 2011 task_events, Google 2019 instance_events.",
    )
    fractions: Literal["keep", "up", "down"] = Field(
        default="keep",
        description="Shares of a GPU are kept, or rounded up or down to whole GPUs. Above one GPU they are "
        "always rounded up unless `down`.",
    )
    largest: int = Field(default=8, ge=1, le=4096, description="Jobs that ask for more GPUs get this many.")
    cpus_per_gpu: float = Field(
        default=0.125,
        gt=0,
        le=100_000,
        description="What stands for one GPU where a table has CPUs only (Google: share of the largest "
        "machine).",
    )
    priorities: Literal["gpus", "source", "one"] = Field(
        default="gpus",
        description="Priority of raw tables: by the number of GPUs as the published files have it (0.5, 1, "
        "2.5, 5), from the table where it has one (1 + its rank), or 1 for all.",
    )
    unfinished: Literal["drop", "keep"] = Field(
        default="keep",
        description="Jobs that failed or were killed, but ran: they hold their GPUs as long.",
    )
