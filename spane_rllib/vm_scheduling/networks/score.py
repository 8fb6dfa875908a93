"""The weights of a `PlacementScore` in the form that models are stored in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field, Strict
from torch import Tensor, nn

from spane_rllib.settings import Settings, validated
from spane_rllib.vm_scheduling.simulator import PlacementScore
from spane_rllib.vm_scheduling.simulator.survival import AGE_EDGES_S

_Positive = Annotated[float, Field(gt=0, le=1_000_000)]


class ScoreOptions(Settings):
    """Options of the model `score`."""

    flavours: Annotated[
        tuple[Annotated[tuple[_Positive, _Positive], Strict(False)], ...],
        Strict(False),
        Field(min_length=1, max_length=1000),
    ] = Field(description="(CPU cores, GiB) of the VMs whose capacity is weighted.")
    horizons: Annotated[tuple[_Positive, ...], Strict(False), Field(max_length=16)] = Field(
        description="How far ahead the score looks, seconds."
    )


class ScoreWeights(nn.Module):
    """A container, not a network: `score()` is the rule, which the simulator runs as it does heuristics."""

    kind: ClassVar[str] = "score"

    def __init__(self, options: ScoreOptions) -> None:
        super().__init__()
        self._options = options
        flavours, horizons = len(options.flavours), len(options.horizons)
        self.register_buffer("weights", torch.zeros(flavours))
        self.register_buffer("terms", torch.zeros(3))
        self.register_buffer("horizon_weights", torch.zeros(horizons, flavours))
        self.register_buffer("survival", torch.zeros(horizons, len(AGE_EDGES_S) + 1, flavours + 1))

    @classmethod
    def of_score(cls, score: PlacementScore) -> ScoreWeights:
        """`score`, its weights rounded to float32."""
        module = cls(ScoreOptions(flavours=score.flavours, horizons=score.horizons))
        state: dict[str, Any] = {
            "weights": score.weights,
            "terms": (score.fullness, score.imbalance, score.siblings),
        }
        if score.horizons:
            state |= {"horizon_weights": score.horizon_weights, "survival": score.survival}
        module.load_state_dict(
            module.state_dict() | {name: torch.as_tensor(value).float() for name, value in state.items()}
        )
        return module

    @classmethod
    def skeleton(cls, options: Mapping[str, object]) -> ScoreWeights:
        """The container on torch's meta device; raises `UserError` for bad options."""
        with torch.device("meta"):
            return cls(validated(ScoreOptions, options, "options of model score"))

    def options(self) -> dict[str, Any]:
        """The options that build this container again, as plain values."""
        return self._options.model_dump(mode="json")

    def score(self) -> PlacementScore:
        """The rule."""
        tensors: dict[str, Tensor] = dict(self.named_buffers())
        fullness, imbalance, siblings = tensors["terms"].tolist()
        return PlacementScore(
            self._options.flavours,
            tuple(tensors["weights"].tolist()),
            fullness=fullness,
            imbalance=imbalance,
            siblings=siblings,
            horizons=self._options.horizons,
            horizon_weights=tensors["horizon_weights"].double().numpy(),
            survival=tensors["survival"].double().numpy(),
        )
