"""Results folders that are damaged, foreign, moved, or continued with something else than they began with."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from refusals import MountDisk, Refuse, contents, fill

from spane_rllib import __version__
from spane_rllib.__main__ import main
from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.loading import DATA_VARIABLE
from spane_rllib.experiments.results.folder import ResultsFolder
from spane_rllib.experiments.results.parts import PartStore
from spane_rllib.experiments.results.trust import record_owner

pytestmark = pytest.mark.slow  # an experiment with a Ray of its own comes first

Tamper = Callable[[Path], object]
CONFIG = """
name: tiny
output: results
trace: {source: trace.csv}
cluster: {servers: 2}
training: {gradient_steps: 2, batch_size: 8, n_step: 5, replay_capacity: 2000, warmup_episodes: 2, lanes: 2}
validation: {episodes: 2, every: 1}
methods: {mlp: {network: mlp, options: {width: 4, depth: 1}}}
evaluation: {top_k: 1, episodes: 3, heuristics: [first-fit]}
resources: {checkpoint_every: 1, num_cpus: 1}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder `experiment` of a finished experiment, and its trace beside it."""
    place = tmp_path_factory.mktemp("finished")
    (place / "tiny.yaml").write_text(CONFIG)
    for arguments in (["data", "synthesize", "trace.csv", "--vms", "2000"], ["tune", "tiny.yaml"]):
        # A process of its own: Ray keeps threads, and its workers find the package by the environment.
        done = subprocess.run(
            [sys.executable, "-m", "spane_rllib", *arguments],
            cwd=place,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
    shutil.move(place / "results" / "tiny", place / "experiment")
    return place


@pytest.fixture
def experiment(finished: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, moved to `place`; the main job must not come as far as Ray."""
    from spane_rllib.experiments import main_job

    def started(*_: Any, **__: Any) -> None:
        raise UserError("Ray is started")

    monkeypatch.setattr(main_job, "ray_session", started)
    shutil.copytree(finished / "experiment", place / "experiment")
    shutil.copy(finished / "trace.csv", place)
    record_owner(ResultsFolder(place / "experiment"))
    return place / "experiment"


def delete(*patterns: str) -> Tamper:
    def tamper(folder: Path) -> None:
        for pattern in patterns:
            for path in found(folder, pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    return tamper


def write(pattern: str, content: bytes) -> Tamper:
    return lambda folder: [path.write_bytes(content) for path in found(folder, pattern)]


def cut(pattern: str, share: float = 0.5) -> Tamper:
    return lambda folder: [
        os.truncate(path, int(path.stat().st_size * share)) for path in found(folder, pattern)
    ]


def drop_last_line(pattern: str) -> Tamper:
    return lambda folder: [
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
        for path in found(folder, pattern)
    ]


def drop_rows(pattern: str) -> Tamper:
    return lambda folder: [
        path.write_bytes(path.read_bytes().splitlines(keepends=True)[0]) for path in found(folder, pattern)
    ]


def replace(pattern: str, old: str, new: str) -> Tamper:
    def tamper(folder: Path) -> None:
        for path in found(folder, pattern):
            text = path.read_text()
            assert old in text
            path.write_text(text.replace(old, new))

    return tamper


def found(folder: Path, pattern: str) -> list[Path]:
    paths = sorted(folder.glob(pattern))
    assert paths, pattern
    return paths


def only(tamper: Tamper) -> Tamper:
    """`tamper` with a state of Tune of which there is no archive."""
    return lambda folder: [delete(ARCHIVE)(folder), tamper(folder)]


def become_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("results")


def become_a_folder(name: str) -> Tamper:
    return lambda folder: [(folder / name).unlink(), (folder / name / "inner").mkdir(parents=True)]


def become_empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


STATE, TUNER, ARCHIVE = "tune/experiment_state-*.json", "tune/tuner.pkl", "tune_state.zip"
SEARCHER = "tune/basic-variant-state-*.json"
IDENTITY = "identity.json"
DAMAGED_STATE = "Tune's state in "
# Refused by `analyze` and by `--resume` alike.
BOTH: dict[str, tuple[Tamper, str]] = {
    "missing": (shutil.rmtree, "no experiment there (no config.yaml)"),
    "a file": (become_a_file, "no experiment there (no config.yaml)"),
    "empty": (become_empty, "no experiment there (no config.yaml)"),
    "foreign": (delete("config.yaml"), "no experiment there (no config.yaml)"),
    "config empty": (write("config.yaml", b""), "config.yaml: the file is empty"),
    "config cut": (cut("config.yaml"), "config.yaml: "),
    "config binary": (write("config.yaml", b"\x80\x04\x95"), "config.yaml: not text in UTF-8"),
    "config of another program": (write("config.yaml", b"model: bert\n"), "model: unknown key"),
    "state deleted": (delete(ARCHIVE, STATE), DAMAGED_STATE),
    "state empty": (only(write(STATE, b"")), DAMAGED_STATE),
    "state cut": (only(cut(STATE)), DAMAGED_STATE),
    "state an object": (only(write(STATE, b"{}")), DAMAGED_STATE),
    "state a list": (only(write(STATE, b"[]")), DAMAGED_STATE),
    "state binary": (only(write(STATE, bytes(range(256)))), DAMAGED_STATE),
    "state and its archive cut": (lambda f: [cut(ARCHIVE)(f), cut(STATE)(f)], DAMAGED_STATE),
    "trials of another program": (only(replace(STATE, '\\"trial\\"', '\\"lrate\\"')), "trial in "),
    "identity empty": (write(IDENTITY, b""), "identity.json: Invalid JSON"),
    "identity cut": (cut(IDENTITY), "identity.json: Invalid JSON"),
    "identity a list": (write(IDENTITY, b"[]"), "identity.json: "),
    "identity lies": (replace(IDENTITY, '"size": 2000', '"size": "many"'), "size: must be a whole"),
    "identity without hash": (replace(IDENTITY, '"sha256"', '"md5"'), "md5: unknown key"),
    "identity a folder": (become_a_folder(IDENTITY), "Is a directory"),
    "stages.json empty": (write("stages.json", b""), "stages.json: Invalid JSON"),
    "stages.json cut": (cut("stages.json"), "stages.json: Invalid JSON"),
    "stages.json of text": (write("stages.json", b'{"training": "long"}'), "stages.json: training: must be"),
    "stages.json negative": (write("stages.json", b'{"training": -1}'), "training: must be greater than"),
}  # fmt: skip
ANALYZE: dict[str, tuple[Tamper, str]] = {
    "no trials yet": (delete("tune", ARCHIVE), "no trials yet; start them with --resume experiment"),
    "episodes empty": (write("episodes.csv", b""), "episodes.csv is damaged"),
    "episodes of another table": (write("episodes.csv", b"a,b\n1,2\n"), "damaged (no column policy)"),
    "episodes binary": (write("episodes.csv", b"\x00\xff\x80,"), "episodes.csv is damaged"),
    "episodes header only": (drop_rows("episodes.csv"), "damaged (no rows, or values are missing)"),
    "episodes of text": (replace("episodes.csv", ",2,", ",two,"), "episodes.csv is damaged"),
    "episodes without a value": (replace("episodes.csv", ",2,", ",,"), "episodes.csv is damaged"),
    "episodes cut": (cut("episodes.csv", 0.8), "episodes.csv is damaged"),
    "identity deleted": (delete(IDENTITY), "cannot read experiment/identity.json"),
    "trials.csv a folder": (become_a_folder("trials.csv"), "cannot write experiment/trials.csv"),
}  # fmt: skip
SETTINGS = "config.yaml"
RESUME: dict[str, tuple[Tamper, str]] = {
    "more gradient steps": (
        replace(SETTINGS, "gradient_steps: 2", "gradient_steps: 4"),
        "config.yaml: training.gradient_steps is 4, but was 2 when the experiment began; set it back",
    ),
    "another seed": (replace(SETTINGS, "\nseed: 0", "\nseed: 1"), "seed is 1, but was 0"),
    "another cluster": (replace(SETTINGS, "servers: 2\n", "servers: 3\n"), "cluster.servers is 3, but"),
    "another validation": (replace(SETTINGS, "every: 1\n", "every: 2\n"), "validation.every is 2, but was 1"),
    "another network": (replace(SETTINGS, "width: 4", "width: 8"), "mlp.options.width is 8, but was 4"),
    "another option": (replace(SETTINGS, "      depth: 1\n", ""), "options.depth is absent, but was"),
    "another method": (replace(SETTINGS, "  mlp:\n", "  new:\n"), "methods.mlp is absent"),
    "other episodes": (replace(SETTINGS, "episodes: 3\n", "episodes: 9\n"), "evaluation.episodes is 9"),
    "a key misspelt": (replace(SETTINGS, "top_k", "topk"), "topk: unknown key; did you mean top_k?"),
    "another version": (
        replace("fixed_settings.json", f'"spane_rllib": "{__version__}"', '"spane_rllib": "0.0.1"'),
        f"experiment was begun with spane_rllib 0.0.1, but this is {__version__}; continue it with 0.0.1",
    ),
    "settings cut": (cut("fixed_settings.json"), "fixed_settings.json: Invalid JSON"),
    "settings a list": (write("fixed_settings.json", b"[]"), "fixed_settings.json: "),
    "trace deleted": (lambda f: (f.parent / "trace.csv").unlink(), "no trace at trace.csv"),
    "trace damaged": (lambda f: (f.parent / "trace.csv").write_text("x"), "row 1: missing column"),
    "another trace": (
        replace(SETTINGS, "source: trace.csv", "source: synthetic"),
        "was made on trace (sha256 ",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("tamper", "expected"), (BOTH | ANALYZE).values(), ids=BOTH | ANALYZE)
def test_analyze_refuses(refuse: Refuse, experiment: Path, tamper: Tamper, expected: str) -> None:
    tamper(experiment)
    assert expected in refuse("analyze", "experiment")


@pytest.mark.parametrize(("tamper", "expected"), (BOTH | RESUME).values(), ids=BOTH | RESUME)
def test_resume_refuses(refuse: Refuse, experiment: Path, tamper: Tamper, expected: str) -> None:
    tamper(experiment)
    assert expected in refuse("tune", "--resume", "experiment")


def test_state_of_other_code(refuse: Refuse, experiment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spane_rllib.experiments.tuning import training

    monkeypatch.delattr(training, "_trial_name")  # by that name it lies in Tune's state
    line = refuse("tune", "--resume", "experiment")
    assert "was written by other code (AttributeError: " in line and "use the version of spane_rllib" in line


class Trap:
    """Makes the file `sprung` when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path("sprung").touch, ()


def set_traps(folder: Path) -> None:
    """Put code into every pickle of the folder, in Tune's state too."""
    trap = pickle.dumps(Trap())
    files = [path for path in folder.rglob("*") if path.suffix == ".pkl"]
    assert len(files) > 3
    for path in files:
        path.write_bytes(trap)
    delete(ARCHIVE)(folder)
    for path in found(folder, STATE):
        # In a string, and longer than any identifier: a number can have the digits of a pickle's beginning.
        text, count = re.subn(r'(?<=")800[45][0-9a-f]{20,}', trap.hex(), path.read_text())
        assert count > 3
        path.write_text(text)


def test_analyze_runs_no_code_of_the_folder(experiment: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = (experiment / "trials.csv").read_bytes()
    set_traps(experiment)
    assert main(["analyze", "experiment"]) == 0
    assert "1 trials (1 terminated)" in capfd.readouterr().out
    assert (experiment / "trials.csv").read_bytes() == before
    assert not Path("sprung").exists()


@pytest.mark.parametrize("mark", ["copied", "of another user", "missing", "a pipe"])
def test_resume_of_a_folder_of_somebody_else_needs_trust(
    refuse: Refuse, experiment: Path, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    owner = experiment / ".owner"
    if mark == "copied":
        shutil.copytree(experiment, "copy")
        shutil.rmtree(experiment)
        Path("copy").rename(experiment)
    elif mark == "of another user":
        monkeypatch.setattr(os, "getuid", lambda: 4321)
    else:
        owner.unlink()
        if mark == "a pipe":
            os.mkfifo(owner)
    set_traps(experiment)
    line = refuse("tune", "--resume", "experiment")
    assert "not made by this user on this machine, or was copied" in line and "with --trust" in line
    assert not Path("sprung").exists()
    if owner.is_fifo():
        owner.unlink()
    assert main(["tune", "--resume", "experiment", "--trust"]) == 2
    assert Path("sprung").exists()


def test_a_folder_that_is_trusted_once_is_ones_own(refuse: Refuse, experiment: Path) -> None:
    (experiment / ".owner").unlink()
    assert main(["tune", "--resume", "experiment", "--trust"]) == 2
    experiment.rename("moved")
    assert "Ray is started" in refuse("tune", "--resume", "moved")


def test_without_its_data_variable_another_trace_is_not_taken_for_the_first(
    refuse: Refuse, experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace(SETTINGS, "source: trace.csv", "source: auto")(experiment)
    assert "was made on trace (sha256 " in refuse("tune", "--resume", "experiment")
    monkeypatch.setenv(DATA_VARIABLE, "trace.csv")
    assert "Ray is started" in refuse("tune", "--resume", "experiment")


STATE_MENDED: dict[str, Tamper] = {
    "moved": lambda folder: None,
    "tuner.pkl deleted": delete(TUNER),
    "tuner.pkl empty": write(TUNER, b""),
    "tuner.pkl of something else": write(TUNER, pickle.dumps([1, 2])),
    "tuner.pkl needs a missing module": write(TUNER, b"cno_such_module\nThing\n."),
    "archive deleted": delete(ARCHIVE),
    "archive empty": write(ARCHIVE, b""),
    "archive cut": cut(ARCHIVE),
}
GOES_ON: dict[str, Tamper] = STATE_MENDED | {
    "more cores": replace(SETTINGS, "num_cpus: 1", "num_cpus: 2"),
    "more trials evaluated": replace(SETTINGS, "top_k: 1", "top_k: 2"),
    "more heuristics": replace(SETTINGS, "[first-fit]", "[first-fit, sbf]"),
    "path of the trace": replace(SETTINGS, "source: trace.csv", "source: ./trace.csv"),
    "names of VMs": replace("../trace.csv", "\n0,", "\n00,"),
    "checkpoint cut": cut("tune/*/checkpoint_*/*.pkl"),
    "checkpoint deleted": delete("tune/*/checkpoint_*"),
    "trials.csv cut": cut("trials.csv"),
    "stages.json deleted": delete("stages.json"),
}


@pytest.mark.parametrize("tamper", GOES_ON.values(), ids=GOES_ON)
def test_resume_goes_on(refuse: Refuse, experiment: Path, tamper: Tamper) -> None:
    tamper(experiment)
    assert "Ray is started" in refuse("tune", "--resume", "experiment")


def test_resume_writes_a_missing_identity_again(experiment: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = contents(experiment)
    delete(IDENTITY, "fixed_settings.json")(experiment)
    assert main(["tune", "--resume", "experiment"]) == 2
    assert "Ray is started" in capfd.readouterr().err
    assert contents(experiment).keys() == before.keys()


MENDED: dict[str, Tamper] = STATE_MENDED | {
    "state deleted": delete(STATE),
    "state empty": write(STATE, b""),
    **{f"state cut to {share:.0%}": cut(STATE, share) for share in (0.01, 0.5, 0.999)},
    "searcher cut": cut(SEARCHER),
    "checkpoint deleted": delete("tune/*/checkpoint_*"),
    "checkpoint cut": cut("tune/*/checkpoint_*/*.pkl"),
    "trials.csv cut": cut("trials.csv"),
    "summary empty": write("summary.csv", b""),
    "summary of another table": write("summary.csv", b"a,b\n1,2\n"),
    "summary binary": write("summary.csv", b"\x00\xff\x80,"),
    "figures deleted": delete("curves.csv", "figures", "report.md"),
    "progress.csv damaged": write("tune/*/progress.csv", b"\x00\xff,"),
    "result.json deleted": delete("tune/*/result.json"),
}


@pytest.mark.parametrize("tamper", MENDED.values(), ids=MENDED)
def test_analyze_mends_what_it_can(
    experiment: Path, capfd: pytest.CaptureFixture[str], tamper: Tamper
) -> None:
    tables = ("trials.csv", "summary.csv")
    before = [(experiment / name).read_bytes() for name in tables]
    tamper(experiment)
    assert main(["analyze", "experiment"]) == 0
    assert "1 trials (1 terminated)" in capfd.readouterr().out
    assert [(experiment / name).read_bytes() for name in tables] == before
    assert (experiment / "report.md").stat().st_size > 1000


@pytest.mark.parametrize(
    ("tamper", "expected"),
    [
        (delete("tune/*/checkpoint_*"), "no such file"),
        (delete("tune/*/checkpoint_*/model"), "no such file"),
        (cut("tune/*/checkpoint_*/model/model.json"), "Invalid JSON"),
        (cut("tune/*/checkpoint_*/model/weights.safetensors"), "damaged"),
    ],
)
def test_a_model_that_is_still_needed_from_a_damaged_checkpoint(
    experiment: Path, tamper: Tamper, expected: str
) -> None:
    from spane_rllib.experiments.results.trial_results import read_results
    from spane_rllib.experiments.results.trial_tables import export_models

    folder = ResultsFolder(experiment)
    config = folder.load_config()
    task = config.about.load(config)
    shutil.rmtree(folder.models)
    tamper(experiment)
    with pytest.raises(UserError, match=expected):
        export_models(read_results(folder), folder, {"mlp-0000"}, task)
    assert not folder.models.exists()


@pytest.mark.parametrize(
    "damage", [cut("parts/*.csv", 0.6), write("parts/*.csv", b""), drop_last_line("parts/*.csv")]
)
def test_a_damaged_part_of_the_evaluation_counts_as_missing(
    experiment: Path, capfd: pytest.CaptureFixture[str], damage: Tamper
) -> None:
    folder = ResultsFolder(experiment)
    config = folder.load_config()
    evaluation = config.about.load(config).evaluation(config.evaluation)
    part = evaluation.part(evaluation.task.load_policy("first-fit"), 2)
    store = PartStore(folder.parts, evaluation)
    assert store.has(part)
    damage(experiment)
    assert not store.has(part)
    assert f"experiment/parts/{part.key}.csv is damaged and evaluated again" in capfd.readouterr().out


@pytest.mark.parametrize("line", ["analyze disk/experiment", "tune --resume disk/experiment"])
def test_a_results_folder_on_a_full_or_read_only_disk(
    refuse: Refuse, experiment: Path, mount_disk: MountDisk, line: str
) -> None:
    disk = mount_disk(2 << 20)
    shutil.move(experiment, disk / "experiment")
    fill(disk)
    assert "No space left on device" in refuse(*line.split())
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    assert "Read-only file system" in refuse(*line.split())
