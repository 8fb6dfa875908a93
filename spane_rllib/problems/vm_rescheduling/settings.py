"""What is rescheduled, and on what policies are compared."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, Strict, field_validator

from spane_rllib.core.settings import PathText, Settings, distinct
from spane_rllib.learning.algorithms import PpoSettings
from spane_rllib.problems.problem import EpisodeCount, EpisodeSettings, ValidationSettings

Split = Literal["train", "validation", "test"]
Migrations = Annotated[int, Field(ge=1, le=100_000)]


class RescheduleSettings(Settings):
    """What is rescheduled: keys at the top level of a configuration, and keywords of the environment."""

    mappings: PathText = Field(
        default="high",
        description="Synthetic mappings of a kind (high, mid, low, large, multi, affinity), "
        "`medium@published`, `large@published`, a file or a folder.",
    )
    machines: Annotated[int, Field(ge=2, le=100_000)] | None = Field(
        default=None, description="Machines of synthetic mappings; null: as many as the kind has."
    )
    migrations: Migrations = Field(default=50, description="Migrations of a plan at most.")
    objective: str = Field(
        default="fr16",
        description="`fr16`: fragment rate of 16 cores, or another number; `mix:0.7`: 0.7 of it and 0.3 of "
        "slots of 64 cores; `memory:0.7`: 0.7 of it and 0.3 of fragments of 32 GiB.",
    )

    @field_validator("objective")
    @classmethod
    def _check_objective(cls, text: str) -> str:
        from spane_rllib.core.errors import UserError
        from spane_rllib.problems.vm_rescheduling.simulator.objectives import make_objective

        try:
            make_objective(text, 1, 1)
        except UserError as error:
            raise ValueError(str(error)) from error
        return text


class RescheduleValidationSettings(ValidationSettings):
    """Mappings that choose the best weights of a trial and the best trials of a method."""

    episodes: int = Field(default=16, ge=1, le=100_000, description="Validation mappings.")
    every: int = Field(default=20, ge=1, le=10_000_000, description="Gradient steps between validations.")


class RescheduleEvaluationSettings(EpisodeSettings):
    """The mappings that planners are compared on."""

    episodes: EpisodeCount = Field(default=20, description="Mappings; `all`: every one of the split.")
    split: Split = Field(default="test", description="Whose mappings they are.")
    migration_limit: Annotated[tuple[Migrations, ...], Strict(False), AfterValidator(distinct)] = Field(
        default=(), description="Migrations of a plan at most, one or more; empty: `migrations`."
    )
    seconds: float = Field(default=5.0, gt=0, le=86_400, description="Seconds of a plan at most.")
    machines: Annotated[int, Field(ge=2, le=100_000)] | None = Field(
        default=None, description="Machines of the evaluated mappings; null: as in training."
    )


class ReschedulePpoSettings(PpoSettings):
    """PPO with a warm start: the network first learns the migrations of a planner."""

    imitate: Literal["ha", "search"] | None = Field(
        default=None, description="Planner whose migrations the network first learns; null: none."
    )
    imitation_maps: int = Field(default=64, ge=1, le=4000, description="Training mappings that it plans for.")
    imitation_steps: int = Field(
        default=300, ge=1, le=1_000_000, description="Gradient steps of the imitation."
    )
    imitation_batch: int = Field(
        default=64, ge=1, le=100_000, description="Migrations of a gradient step of the imitation."
    )
    imitation_learning_rate: float = Field(
        default=1e-3, gt=0, le=1, description="Adam's learning rate in the imitation, falling to 0."
    )


class AttentionOptions(Settings):
    """Options of the networks: the published sizes are the defaults of `attention`."""

    width: int = Field(default=32, ge=4, le=1024, description="Width of the layers.")
    heads: int = Field(default=2, ge=1, le=64, description="Heads of attention; must divide the width.")
    blocks: int = Field(default=2, ge=1, le=16, description="Blocks of attention.")
    feed_forward: int = Field(default=64, ge=4, le=4096, description="Units between the layers of a block.")

    @field_validator("heads")
    @classmethod
    def _check_heads(cls, heads: int, info: object) -> int:
        width = getattr(info, "data", {}).get("width", heads)
        if width % heads:
            raise ValueError(f"{heads} must divide the width {width}")
        return heads


class SparseOptions(AttentionOptions):
    """Options of the tree-local network: the published sizes are the defaults."""

    width: int = Field(default=64, ge=4, le=1024, description="Width of the layers.")
