"""Steps of the Gymnasium environments."""

from __future__ import annotations

import time

import gymnasium
import numpy as np

import spane_rllib  # noqa: F401  # registers the environments
from benchmarks import plain_baseline
from benchmarks.measuring import Row, in_child

ENVIRONMENT = "spane_rllib/VMScheduling-v0"
LANES = 256


def measure(quick: bool) -> list[Row]:
    """Both environments, on one core."""
    return in_child(_measure, quick)


def _measure(quick: bool) -> list[Row]:
    repeats, placements = (1, 300) if quick else (7, 20_000)
    baseline = 1e6 / plain_baseline.placements_per_second(1 if quick else 10)
    single = tuple(_single_step(placements) for _ in range(repeats))
    vector = tuple(_vector_step(placements // 10) for _ in range(repeats))
    return [
        Row("environments", "Env.step, 5 servers", "us", single, 5.0, 3.0, baseline),
        Row(
            "environments",
            f"vector environment, {LANES} lanes: a placement",
            "us",
            vector,
            0.3,
            0.15,
            baseline,
        ),
    ]


def _single_step(placements: int) -> float:
    """Microseconds of a step, without what choosing the action takes."""
    environment = gymnasium.make(ENVIRONMENT, split="test")
    elapsed, done = 0.0, 0
    for seed in range(placements):
        # Play the episode once to know its actions: the most recently listed feasible slot spreads the VMs.
        observation, _ = environment.reset(seed=seed)
        actions, ended = [], False
        while not ended:
            actions.append(int(observation["action_mask"].argmax()))
            observation, _, ended, _, _ = environment.step(actions[-1])
        environment.reset(seed=seed)
        step = environment.step
        started = time.perf_counter()
        for action in actions:
            step(action)
        elapsed += time.perf_counter() - started
        done += len(actions)
        if done >= placements:
            break
    return elapsed / done * 1e6


def _vector_step(ticks: int) -> float:
    """Microseconds of a step per VM placed, ends and beginnings of episodes included."""
    environment = gymnasium.make_vec(
        ENVIRONMENT, LANES, vectorization_mode="vector_entry_point", split="test", copy=False
    )
    observation, _ = environment.reset(seed=0)
    ended = np.zeros(LANES, bool)
    elapsed, done = 0.0, 0
    for _ in range(ticks):
        actions = observation["action_mask"].argmax(axis=1)
        done += LANES - int(ended.sum())  # a lane whose episode has ended begins another one instead
        started = time.perf_counter()
        observation, _, ended, _, _ = environment.step(actions)
        elapsed += time.perf_counter() - started
    return elapsed / done * 1e6
