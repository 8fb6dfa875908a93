"""Options of the networks; light to import."""

from __future__ import annotations

from pydantic import Field

from spane_rllib.core.settings import Settings


class SetOptions(Settings):
    """The permutation-equivariant network."""

    width: int = Field(default=64, ge=1, le=1024, description="Units of the hidden layers.")
    anchor: float = Field(
        default=20.0,
        ge=0,
        le=1000,
        description="How strongly it prefers jobs of short run time over priority before it has learned "
        "anything; 0: not at all.",
    )


class PublishedOptions(Settings):
    """The networks of the reference: they see its 66 numbers, so they play under `rules: published` only."""

    width: int = Field(default=256, ge=1, le=4096, description="Units of the hidden layers (reference: 256).")


NETWORKS: dict[str, type[Settings]] = {"set": SetOptions, "d3qn": PublishedOptions, "sac": PublishedOptions}
