"""The snippets of docs/other_agents.md, each run and compared with First Fit."""

import re
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from spane_rllib.wrappers import MASK, FlatObservation

PAGE = Path(__file__).parents[1] / "docs" / "other_agents.md"
SNIPPETS = dict(re.findall(r"^## ([^\n]+)\n.*?```python\n(.*?)```", PAGE.read_text(), re.DOTALL | re.M))
NEEDS = {"sb3-contrib: MaskablePPO": "sb3_contrib", "Stable-Baselines3: DQN": "stable_baselines3"}
EPISODES = range(1000, 1040)


def mean_return(act: Any, flat: bool) -> float:
    """Of episodes that nobody has trained on; `act` sees the mask in the observation unless `flat`."""
    keywords = {"trace": "synthetic:vms=4000", "servers": 2, "infeasible_action": "first_fit"}
    env = FlatObservation(gymnasium.make("spane_rllib/VMScheduling-v0", **keywords), mask=not flat)  # type: ignore[arg-type]
    total = 0.0
    for seed in EPISODES:
        observation, _ = env.reset(seed=seed)
        ended = False
        while not ended:
            action = act(observation, env.action_masks())
            observation, reward, terminated, truncated, _ = env.step(int(action))
            total += float(reward)
            ended = terminated or truncated
    return total / len(EPISODES)


@pytest.mark.slow
@pytest.mark.parametrize("title", SNIPPETS)
def test_snippet(title: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # RLlib's own `ray.init()` would join the newest Ray of this machine, another test's, and end with it.
    monkeypatch.setenv("RAY_ADDRESS", "local")
    if module := NEEDS.get(title):
        pytest.importorskip(module, reason=f"{module} is not installed")
    names: dict[str, Any] = {"__name__": "snippet"}
    try:
        exec(SNIPPETS[title], names)
        reached = mean_return(names["act"], flat="new API" not in title)
    finally:
        if "algorithm" in names:
            import ray

            names["algorithm"].stop()
            ray.shutdown()
    random = np.random.default_rng(0)
    first_fit = mean_return(lambda _, mask: mask.argmax(), flat=True)
    any_slot = mean_return(lambda _, mask: random.choice(np.flatnonzero(mask)), flat=True)
    print(f"{title}: {reached:.1f}, First Fit {first_fit:.1f}, random {any_slot:.1f}")
    assert reached >= first_fit - 0.1 * abs(first_fit)


def test_every_snippet_is_found() -> None:
    assert len(SNIPPETS) == 5 and all("def act(observation, mask)" in text for text in SNIPPETS.values())
    assert MASK in PAGE.read_text()
