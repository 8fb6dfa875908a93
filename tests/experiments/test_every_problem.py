"""The quick preset of every other problem, made tiny: from `tune` to its report, and RLlib's ways to act."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import pytest

import spane_rllib  # noqa: F401  # registers the environments
from spane_rllib.__main__ import main
from spane_rllib.cluster.session import ray_session
from spane_rllib.rllib.algorithm import SchedulingConfig

TINY = {
    "gpu_jobs": [
        "jobs=synthetic:jobs=200,load=0.9,seed=1",
        "methods.ppo.training.gradient_steps=4",
        "validation.every=2",
        "validation.episodes=2",
        "evaluation.episodes=5",
    ],
    "vm_rescheduling": [
        "machines=8",
        "migrations=3",
        "training.gradient_steps=4",
        "training.imitation_steps=4",
        "training.imitation_maps=3",
        "validation.every=2",
        "validation.episodes=2",
        "evaluation.episodes=2",
        "evaluation.migration_limit=[3]",
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("preset", TINY)
def test_the_quick_preset_ends_in_a_report(preset: str, tmp_path: Path) -> None:
    settings = [*TINY[preset], f"output={tmp_path}", "resources.num_cpus=2"]
    assert main(["tune", preset, *(word for setting in settings for word in ("--set", setting))]) == 0
    folder = tmp_path / preset
    report = (folder / "report.md").read_text(encoding="utf-8")
    assert "## Trials that did not finish\n\nNone." in report
    assert main(["analyze", str(folder)]) == 0


@pytest.mark.slow
def test_rllib_draws_and_chooses_actions_of_several_parts(tmp_path: Path) -> None:
    keywords = {"machines": 6, "migrations": 3}
    config = SchedulingConfig().environment("spane_rllib/VMRescheduling-v0", env_config=keywords)
    config.training(gradient_steps=3, lanes=4, episodes_per_start=2, batch_size=8)
    config.training(gradient_steps_per_iteration=1).validation(episodes=2, every=1)
    environment = gymnasium.make("spane_rllib/VMRescheduling-v0", **keywords)
    observation, _ = environment.reset(seed=0)
    with ray_session(num_cpus=1):
        algorithm = config.build_algo()
        assert algorithm.train()["gradient_steps"] >= 1
        likeliest = algorithm.compute_single_action(observation, explore=False)
        drawn = [algorithm.compute_single_action(observation, explore=True) for _ in range(20)]
        algorithm.save_checkpoint(str(tmp_path))
        restored = config.copy(copy_frozen=False).build_algo()
        restored.load_checkpoint(str(tmp_path))
        np.testing.assert_array_equal(restored.compute_single_action(observation, explore=False), likeliest)
    assert len({tuple(action) for action in drawn}) > 1
    for action in (likeliest, *drawn):
        assert observation["action_mask"][action[0]]
        environment.reset(seed=0)
        environment.step(action)  # refuses what is not legal
