"""What the algorithms have in common on all objectives of VM scheduling."""

from __future__ import annotations

from pydantic import Field, model_validator

from spane_rllib.learning import algorithms


class SlotDqnSettings(algorithms.DqnSettings):
    """DQN with the servers of replayed decisions in other orders."""

    augmentation_permutations: int = Field(
        default=0,
        ge=0,
        le=120,
        description="Server orders that replayed decisions are shuffled by; 0: none, else 2 to 120.",
    )

    @model_validator(mode="after")
    def _check_augmentation(self) -> SlotDqnSettings:
        if self.augmentation_permutations == 1:
            raise ValueError(
                "augmentation_permutations must be 0 (none) or 2 to 120: one order changes nothing"
            )
        return self
