"""The weights of a `PlacementScore` in the form that models are stored in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field, Strict
from torch import nn

from spane_rllib.core.settings import Settings, validated
from spane_rllib.problems.vm_scheduling.simulator import PlacementScore

_Positive = Annotated[float, Field(gt=0, le=1_000_000)]


class ScoreOptions(Settings):
    """Options of the model `score`."""

    flavours: Annotated[
        tuple[Annotated[tuple[_Positive, _Positive], Strict(False)], ...],
        Strict(False),
        Field(min_length=1, max_length=1000),
    ] = Field(description="(CPU cores, GiB) of the VMs whose capacity is weighted.")


class ScoreWeights(nn.Module):
    """A container, not a network: `score()` is the rule, which the simulator runs as it does heuristics."""

    kind: ClassVar[str] = "score"

    def __init__(self, options: ScoreOptions) -> None:
        super().__init__()
        self._options = options
        self.register_buffer("weights", torch.zeros(len(options.flavours)))
        self.register_buffer("terms", torch.zeros(3))

    @classmethod
    def of_score(cls, score: PlacementScore) -> ScoreWeights:
        """`score`, its weights rounded to float32."""
        module = cls(ScoreOptions(flavours=score.flavours))
        terms = [score.fullness, score.imbalance, score.siblings]
        module.load_state_dict({"weights": torch.tensor(score.weights), "terms": torch.tensor(terms)})
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
        tensors = {name: tensor.tolist() for name, tensor in self.named_buffers()}
        fullness, imbalance, siblings = tensors["terms"]
        weights = tuple(tensors["weights"])
        return PlacementScore(self._options.flavours, weights, fullness, imbalance, siblings)
