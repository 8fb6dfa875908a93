"""The shipped experiments and the documentation of the keys."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from types import ModuleType

import pytest

from spane_rllib import search, study, tune
from spane_rllib.core.presets import presets_of
from spane_rllib.core.strict_yaml import parse_yaml
from spane_rllib.experiments.policy_search.config import load_search
from spane_rllib.experiments.reports.configuration_reference import (
    common_sections,
    reference,
    search_sections,
    sections_of,
    study_sections,
)
from spane_rllib.experiments.studies.config import load_study
from spane_rllib.experiments.tuning.loading import load_experiment
from spane_rllib.experiments.tuning.search_space import Distribution
from spane_rllib.experiments.tuning.trials import draw_trials
from spane_rllib.problems.registry import our_problems
from spane_rllib.problems.vm_scheduling.networks.options import NETWORK_OPTIONS
from spane_rllib.problems.vm_scheduling.waits.algorithms import DqnSettings

REPOSITORY = Path(__file__).resolve().parents[2]
METHODS = ("spane", "mlp", "mlp_aug")
LOADERS = {"": load_experiment, "studies": load_study, "policy_search": load_search}
PRESETS = {name: (file, kind) for kind in LOADERS for name, file in presets_of(kind).items()}


def preset_text(name: str) -> str:
    return PRESETS[name][0].read_text(encoding="utf-8")


def test_the_presets_are_the_expected_ones() -> None:
    stages = [f"{method}_{stage}" for method in METHODS for stage in ("random", "grid", "final")]
    others = ["fading", "recovering", "vm_choice", "pod_migration", "pod_migration_final"]
    others += ["vm_rescheduling", "vm_rescheduling_final", "vmr2l_published"]
    others += ["gpu_jobs", "gpu_jobs_final", "gpu_jobs_published"]
    assert list(presets_of()) == sorted(["quick", "spane_published", *others, *stages])
    assert list(presets_of("studies")) == ["flexibility", "information", "wait_time"]
    assert list(presets_of("policy_search")) == ["policy_search"]


@pytest.mark.parametrize(("command", "kind"), [(tune, ""), (study, "studies"), (search, "policy_search")])
def test_help_names_the_presets(command: ModuleType, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in presets_of(kind))
    files = sorted((REPOSITORY / "tune_configs").rglob("*.*"))
    assert sorted(file for file, _ in PRESETS.values()) == files


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_loads_is_named_like_its_file_and_explains_every_key(name: str) -> None:
    load = LOADERS[PRESETS[name][1]]
    config = load(name)
    assert config.name == name
    assert load(f"{name}.yaml") == config
    for line in preset_text(name).splitlines():
        if line and not line.startswith("#"):
            assert len(line.partition(" #")[2]) > 5, f"no comment: {line}"


def test_quick_shows_every_key_and_is_small() -> None:
    data = parse_yaml(preset_text("quick"), "quick")
    config = load_experiment("quick")
    assert set(data) == set(type(config).model_fields)
    sections = common_sections() | sections_of(config.about)
    for section in ("trace", "cluster", "validation", "search", "evaluation", "resources", "logging"):
        assert set(data[section]) == set(sections[f"`{section}`"].model_fields), section
    assert set(data["training"]) == set(config.about.algorithms["dqn"].model_fields)
    trials = draw_trials(config)
    assert tuple(config.methods) == METHODS
    assert len(trials) == 4
    assert sum(trial.training.gradient_steps for trial in trials) <= 4_000  # two minutes on two cores


@pytest.mark.parametrize("method", METHODS)
def test_random_presets_span_the_published_search(method: str) -> None:
    config = load_experiment(f"{method}_random")
    assert list(config.methods) == [method]
    settings = config.methods[method]
    assert (settings.trials, config.evaluation.top_k) == (300, 11)
    assert settings.training["learning_rate"] == Distribution("loguniform", (0.0001, 0.01))
    assert settings.training["reward_baseline"].values == (None, "sbf", "keep-64")
    if method == "spane":
        names = ("mean", "max", "std")
        subsets = {subset for size in (1, 2, 3) for subset in combinations(names, size)}
        assert set(settings.options["aggregations"].values) == subsets
        assert {settings.options[key].values for key in settings.options if key.endswith("width")} == {
            (4, 32)
        }
        assert {settings.options[key].values for key in settings.options if key.endswith("depth")} == {(1, 4)}
    else:
        assert settings.options["width"] == Distribution("randint", (4, 64))
        assert settings.options["depth"] == Distribution("randint", (2, 16))
    if method == "mlp_aug":
        assert settings.training["augmentation_permutations"] == Distribution("randint", (2, 120))


@pytest.mark.parametrize("method", METHODS)
def test_final_presets_train_the_tuned_values_from_five_seeds(method: str) -> None:
    config = load_experiment(f"{method}_final")
    trials = draw_trials(config)
    assert (len(trials), config.evaluation.top_k, config.keep_weights) == (5, 5, "all")
    assert len({trial.seed for trial in trials}) == 5
    assert (config.evaluation.seed, config.validation.episodes) == (2026, 5000 if method == "spane" else 1000)
    for trial in trials:
        training = trial.training
        # The imitated heuristic's own choices are worth 0 only relative to itself.
        assert training.imitate == training.reward_baseline == "keep-64"
        assert training.imitation_weight and training.weight_averaging
        assert training.augmentation_permutations == (120 if method == "mlp_aug" else 0)


def test_the_published_preset_has_the_published_values() -> None:
    config = load_experiment("spane_published")
    trials = draw_trials(config)
    assert (len(trials), config.evaluation.top_k, config.keep_weights) == (5, 5, "all")
    for trial in trials:
        assert trial.options == NETWORK_OPTIONS["spane"]().model_dump()
        assert trial.training == DqnSettings(
            learning_rate=0.01, gradient_steps=5000, compiled_gradients=False
        )


@pytest.mark.parametrize("method", METHODS)
def test_grid_presets_are_whole_grids(method: str) -> None:
    leaves = load_experiment(f"{method}_grid").methods[method]
    kinds = {
        leaf.kind
        for leaf in [*leaves.options.values(), *leaves.training.values()]
        if isinstance(leaf, Distribution)
    }
    assert kinds == {"grid"}


@pytest.mark.parametrize("name", [name for name in presets_of() if not name.startswith("gpu_jobs")])
def test_searches_leave_the_test_episodes_to_finished_methods(name: str) -> None:
    searches = name.endswith(("_random", "_grid"))
    assert load_experiment(name).evaluation.split == ("validation" if searches else "test")


def test_the_studies_are_of_the_final_experiments() -> None:
    wait_time, flexibility = load_study("wait_time"), load_study("flexibility")
    assert wait_time.evaluation.servers == (5,)
    assert flexibility.evaluation.servers == tuple(range(2, 10))
    for config in (wait_time, flexibility):
        assert (config.evaluation.split, config.top, config.reference) == ("test", (3, 5), "keep-64")
        assert (config.evaluation.episodes, config.evaluation.seed) == (1000, 2026)
        for group, paths in config.groups.items():
            [name] = [Path(path).name for path in paths]
            if group == "score":
                assert load_search(name).seeds == 5
            else:
                assert load_experiment(name).keep_weights == "all"


def test_the_documentation_is_up_to_date() -> None:
    written = (REPOSITORY / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert written == reference(), "run python -m spane_rllib.experiments.reports.configuration_reference"


def test_every_key_is_described() -> None:
    own = [section for problem in our_problems() for section in sections_of(problem).values()]
    searches = [section for problem in our_problems() for section in search_sections(problem).values()]
    others = (*common_sections().values(), *searches, *study_sections().values())
    for section in (*own, *others):
        for key, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{key}"
