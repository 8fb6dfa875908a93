"""Baselines: functions of an observation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def first_fit(observation: Mapping[str, Any], random: np.random.Generator) -> int:
    """The first bin with room."""
    return int(np.argmax(observation["action_mask"]))


def best_fit(observation: Mapping[str, Any], random: np.random.Generator) -> int:
    """The fullest bin with room."""
    return int(np.argmin(np.where(observation["action_mask"], observation["bins"][:, 0], 2.0)))


def any_fit(observation: Mapping[str, Any], random: np.random.Generator) -> int:
    """Any bin with room."""
    return int(random.choice(np.flatnonzero(observation["action_mask"])))


BASELINES = {"first-fit": first_fit, "best-fit": best_fit, "random": any_fit}
