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
    """`initial`, multiplied by `factor` after every `every` updates; anew after every `restart` of them."""

    initial: float
    factor: float
    every: int
    restart: int | None = None

    def __call__(self, update: int) -> float:
        if self.restart is not None:
            update %= self.restart
        return self.initial * self.factor ** (update // self.every)
