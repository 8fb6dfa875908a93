"""Training that begins with a model: which experiments may, and that it does."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from spane_rllib.__main__ import main
from spane_rllib.core.errors import UserError
from spane_rllib.experiments.tuning.loading import load_experiment
from spane_rllib.experiments.tuning.trials import draw_trials
from spane_rllib.learning.models import load_weights, read_kind
from spane_rllib.problems.gpu_jobs.models import build_network, load_trained
from spane_rllib.problems.gpu_jobs.settings import GpuJobsSettings

MODEL = Path(__file__).parents[2] / "results" / "published" / "gpu_jobs_ppo"


def test_trials_take_the_options_of_the_model() -> None:
    config = load_experiment("gpu_jobs", start_from=str(MODEL))
    [trial] = draw_trials(config)
    kind, options = read_kind(MODEL)
    assert (trial.network, trial.options) == (kind, options)
    assert trial.start_from == str(MODEL)
    relative = os.path.relpath(MODEL)
    assert load_experiment("gpu_jobs", start_from=relative).methods["ppo"].start_from == str(MODEL)
    assert draw_trials(load_experiment("gpu_jobs"))[0].start_from is None


def test_weights_are_those_of_the_model(tmp_path: Path) -> None:
    _, options = read_kind(MODEL)
    network = build_network("set", options, GpuJobsSettings(), seed=5)
    load_weights(MODEL, network)
    for name, tensor in load_trained(str(MODEL), "m").network.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], tensor)
    with pytest.raises(UserError, match=r"weights\.safetensors: tensor .* is F32"):
        load_weights(MODEL, build_network("set", options | {"width": 16}, GpuJobsSettings(), seed=5))


@pytest.mark.parametrize(
    ("preset", "overrides", "complaint"),
    [
        ("gpu_jobs_published", (), "network d3qn, but .* is of network set"),
        ("gpu_jobs", ("methods.ppo.options={width: 16}",), "options.width is 16, but 32"),
    ],
)
def test_other_networks_are_refused(preset: str, overrides: tuple[str, ...], complaint: str) -> None:
    start = f"methods.{'d3qn' if preset == 'gpu_jobs_published' else 'ppo'}.start_from={MODEL}"
    with pytest.raises(UserError, match=complaint):
        load_experiment(preset, [start, *overrides])


def test_damaged_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_experiment("gpu_jobs", start_from=str(tmp_path / "nothing"))
    for text in ("{", "[]", '{"kind": 3, "options": {}}', '{"kind": "set", "options": 3}'):
        (tmp_path / "model.json").write_text(text)
        with pytest.raises(UserError, match=r"model\.json"):
            load_experiment("gpu_jobs", start_from=str(tmp_path))


@pytest.mark.slow
def test_training_goes_on_where_the_model_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(MODEL, "model")
    arrival = np.sort(np.random.default_rng(0).integers(0, 5000, 80))
    Path("batch.csv").write_text("arrival_time,runtime\n" + "".join(f"{at},900\n" for at in arrival))
    settings = [
        *("jobs=batch.csv", "episode={source: jobs, length: 20}", "resources.num_cpus=1"),
        *("methods.ppo.training.gradient_steps=2", "methods.ppo.training.learning_rate=1.0e-12"),
        *("validation.every=1", "validation.episodes=2", "evaluation.episodes=4", "seed=3"),
        "evaluation.heuristics=[fcfs]",
    ]
    words = [word for setting in settings for word in ("--set", setting)]
    assert main(["tune", "gpu_jobs", "--from", "model", *words]) == 0
    assert main(["tune", "--from", "model", "--resume", "results/gpu_jobs"]) == 2
    [trained] = [file.parent for file in Path("results/gpu_jobs/models").rglob("weights.safetensors")]
    begun = load_trained("model", "begun").network.state_dict()
    for name, tensor in load_trained(str(trained), "trained").network.state_dict().items():
        torch.testing.assert_close(tensor, begun[name], atol=1e-6, rtol=0)
