"""Studies that cannot be run: the configuration, the models it names, and the folder it continues in."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from refusals import Refuse

from spane_rllib.problems.vm_scheduling.networks.registry import build_network
from spane_rllib.problems.vm_scheduling.networks.weights import (
    ModelMetadata,
    Normalisation,
    TraceIdentity,
    save_model,
)

STUDY = "name: s\ntrace: {source: 'synthetic:vms=300'}\nevaluation: {episodes: 3}\n"
# What `--set` gets and what the error line says.
SETTINGS = [
    ("grups={}", "--set: grups: unknown key; did you mean groups?"),
    ("evaluation.top_k=3", "--set: evaluation.top_k: unknown key"),
    ("evaluation.episodes=0", "must be a whole number from 1 to 1,000,000, or all, got 0"),
    ("evaluation.episodes=most", "or all, got 'most'"),
    ("evaluation.split=tests", "evaluation.split: must be 'train', 'validation' or 'test', got 'tests'"),
    ("evaluation.servers=[5,5]", "evaluation.servers: must not repeat an item"),
    ("evaluation.heuristics=[sfb]", "'sfb' is not a heuristic; did you mean sbf?"),
    ("evaluation={heuristics: []}", "nothing to evaluate; name groups, policies or evaluation.heuristics"),
    ("groups=[trained]", "groups: must be a mapping of keys to values"),
    ("groups.SPANE=5", "groups.SPANE: must be a list, got 5"),
    ("groups.SPANE=[]", "groups.SPANE: must not be empty"),
    ("groups.a b=trained", "'a b' must be 1 to 100 letters"),
    ("groups.heuristic=trained", "groups.heuristic: is what tables call heuristics"),
    ("groups.SPANE=absent", "groups.SPANE: absent: neither a results folder (no trials.csv) nor a model"),
    ("groups.SPANE=two", "two has several methods; name one of its folders models/{mlp,spane}"),
    ("groups.SPANE=two/models/mlp", "has the weights of 0 of 1 trials; train them with keep_weights: all"),
    ("groups.SPANE=two/models/mpl", "no method mpl; did you mean mlp? allowed: mlp, spane"),
    ("groups.SPANE=damaged", "damaged/trials.csv is damaged"),
    ("groups.SPANE=[two/models/spane/spane-0000, file]", "file: neither a results folder"),
    ("groups={a: [broken]}", "broken/weights.safetensors"),
    ("policies=[absent]", "policies: policy 'absent': neither a heuristic"),
    ("policies=[two]", "model.json: no such file"),
    ("top=[0]", "top.0: must be greater than or equal to 1, got 0"),
    ("top=3", "top: must be a list, got 3"),
    ("reference=keep64", "reference: 'keep64' is not evaluated; did you mean keep-64?"),
    ("bootstrap.resamples=10", "bootstrap.resamples: must be greater than or equal to 100, got 10"),
    ("bootstrap.block_rows=0", "bootstrap.block_rows: must be"),
    ("workers=-1", "workers: must be greater than or equal to 0"),
    ("cluster.node_cpu=1", "more than an empty server"),
    ("trace.source=absent.csv", "no trace at absent.csv"),
    ("output=file", "cannot write to file/s: Not a directory"),
    ("name=a/b", "'a/b' must be 1 to 100 letters"),
]  # fmt: skip


@pytest.fixture
def study(place: Path) -> Path:
    """A working directory with `study.yaml` and results folders, of which none is whole."""
    (place / "study.yaml").write_text(STUDY)
    (place / "file").write_text("")
    (place / "damaged").mkdir()
    (place / "damaged" / "trials.csv").write_text("method,trial\nspane,spane-0000\n")
    metadata = ModelMetadata(
        servers=2,
        normalisation=Normalisation(node_cpu=40, node_memory=90, double_memory_threshold=10),
        trace=TraceIdentity(name="t", sha256="0" * 64),
        seed=0,
    )
    model = place / "two" / "models" / "spane" / "spane-0000"
    save_model(model, build_network("spane", {}, 2, seed=0), metadata)
    (place / "two" / "trials.csv").write_text("method,trial,rank\nmlp,mlp-0000,1\nspane,spane-0000,1\n")
    shutil.copytree(model, place / "broken")
    (place / "broken" / "weights.safetensors").write_bytes(b"no weights")
    return place


@pytest.mark.usefixtures("study")
@pytest.mark.parametrize(("setting", "expected"), SETTINGS, ids=lambda text: str(text)[:50])
def test_bad_setting(refuse: Refuse, setting: str, expected: str) -> None:
    assert expected in refuse("study", "study.yaml", "--set", setting)


@pytest.mark.usefixtures("study")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "name a CONFIG, or --resume DIR"),
        (("wait_tim",), "no such preset; did you mean wait_time?"),
        (("quick",), "no such file, and no such preset"),
        (("two",), "is a folder; name a YAML file or a preset: flexibility, information, wait_time"),
        (("study.yaml", "--resume", "two"), "leave out CONFIG and --set"),
        (("--resume", "two"), "two: no study there (no config.yaml)"),
        (("--resume", "file"), "no study there"),
        (("study.yaml", "extra"), "unrecognized arguments: extra"),
    ],
)
def test_bad_command_line(refuse: Refuse, arguments: tuple[str, ...], expected: str) -> None:
    assert expected in refuse("study", *arguments)


def test_an_experiment_is_no_study_and_a_study_no_experiment(refuse: Refuse, study: Path) -> None:
    (study / "tune.yaml").write_text("name: s\nmethods: {m: {network: mlp}}\n")
    assert "methods: unknown key" in refuse("study", "tune.yaml")
    assert "bootstrap: unknown key" in refuse("tune", "study.yaml", "--set", "bootstrap.resamples=500")
    assert "'wait_time': no such file, and no such preset" in refuse("tune", "wait_time")


def test_a_folder_that_is_taken(refuse: Refuse, study: Path) -> None:
    (study / "results" / "s").mkdir(parents=True)
    (study / "results" / "s" / "config.yaml").write_text(STUDY)
    assert "results/s holds an experiment already; continue it with --resume" in refuse("study", "study.yaml")
