"""Hyper-parameters that change with the number of updates made so far."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LinearSchedule:
    """From `initial` to `final` on a straight line over `steps` updates, and `final` from then on."""

    initial: float
    final: float
    steps: int

    def __call__(self, update: int) -> float:
        if update >= self.steps:
            return self.final
        return self.initial + (self.final - self.initial) * update / self.steps


@dataclass(frozen=True)
class StepDecay:
    """`initial`, multiplied by `factor` after every `every` updates."""

    initial: float
    factor: float
    every: int

    def __call__(self, update: int) -> float:
        return self.initial * self.factor ** (update // self.every)
