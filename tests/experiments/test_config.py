"""Loading experiments: what is accepted, and one line that names what is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from spane_rllib.core.errors import UserError
from spane_rllib.core.strict_yaml import parse_yaml, write_yaml
from spane_rllib.core.yaml_files import MAX_BYTES
from spane_rllib.experiments.tuning.config import ExperimentConfig
from spane_rllib.experiments.tuning.loading import load_experiment
from spane_rllib.experiments.tuning.search_space import Distribution
from spane_rllib.experiments.tuning.trials import draw_trials

MINIMAL = "name: t\nmethods: {m: {network: spane}}\n"
SEARCHED = "name: t\nmethods: {m: {network: spane, training: {learning_rate: {uniform: [0.1, 0.2]}}}}\n"


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "x.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(source: Path | str, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        load_experiment(source, overrides)
    message = str(caught.value)
    assert len(message.splitlines()) == 1, message
    assert len(message) < 1500, message
    return message


def test_defaults_are_the_published_values(tmp_path: Path) -> None:
    config = load_experiment(write(tmp_path, MINIMAL))
    assert config.training["dqn"].model_dump() == {
        "gradient_steps": 5000,
        "learning_rate": 0.01,
        "learning_rate_decay": 0.99,
        "learning_rate_decay_every": 100,
        "learning_rate_restart_every": None,
        "weight_decay": 1e-8,
        "discount": 0.95,
        "n_step": 50,
        "replay_capacity": 100_000,
        "batch_size": 1024,
        "target_sync_every": 100,
        "epsilon_initial": 0.6,
        "epsilon_final": 0.0,
        "epsilon_decay_steps": None,
        "warmup_episodes": 100,
        "episodes_per_gradient_step": 1.0,
        "lanes": 16,
        "double_q": True,
        "mask_bootstrap": True,
        "compiled_gradients": True,
        "loss": "mse",
        "grad_clip": None,
        "reward": "log_wait",
        "reward_scale": 1.0,
        "reward_baseline": None,
        "imitate": None,
        "imitation_steps": 1500,
        "imitation_decisions": 150_000,
        "imitation_weight": 0.0,
        "weight_averaging": 0.0,
        "augmentation_permutations": 0,
    }
    assert (config.cluster.servers, config.cluster.node_cpu, config.cluster.node_memory) == (5, 40.0, 90.0)
    assert config.validation.model_dump() == {"episodes": 150, "every": 250, "trim": 0.1, "seed": 0}
    assert (config.evaluation.top_k, config.evaluation.episodes, config.splits) == (3, 1000, None)


def test_values_keep_their_types(tmp_path: Path) -> None:
    text = (
        MINIMAL + "cluster: {node_cpu: 64}\ntraining: {learning_rate: 1e-3}\nevaluation: {servers: [2, 9]}\n"
    )
    config = load_experiment(write(tmp_path, text))
    assert isinstance(config.cluster.node_cpu, float)
    assert config.training["dqn"].learning_rate == 0.001
    assert config.evaluation.servers == (2, 9)


@pytest.mark.parametrize(
    ("text", "number"), [("010", 10), ("0o10", 8), ("0x1F", 31), ("+5", 5), ("-0", 0), ("1e2", None)]
)
def test_whole_numbers_are_those_of_yaml_1_2(text: str, number: int | None) -> None:
    value = parse_yaml(text, "here")
    assert (value == number and type(value) is int) if number is not None else value == 100.0


@pytest.mark.parametrize("text", ["1:30", "no", "~", "0o17", "2001-01-01", "<<", "=", "1_000", "1e-3", "010"])
def test_text_that_looks_like_something_else_is_written_as_text(text: str) -> None:
    assert parse_yaml(write_yaml({"key": text}), "here") == {"key": text}


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    assert load_experiment(write(tmp_path, b"\xef\xbb\xbf" + MINIMAL.encode())).name == "t"


BAD_TEXT = {
    "empty": ("", "the file is empty"),
    "only space": (" \n\n", "the file is empty"),
    "only comments": ("# nothing\n", "must hold keys and values"),
    "a list": ("- 1\n", "must hold keys and values"),
    "text": ("hello\n", "must hold keys and values"),
    "two documents": (MINIMAL + "---\na: 1\n", "line 3: not valid YAML"),
    "syntax": ("name: t\nmethods: [\n", "line 3: not valid YAML"),
    "tab": ("name: t\n\tmethods: 1\n", "line 2: not valid YAML"),
    "control character": ("name: \x01\n", "not valid YAML"),
    "duplicate key": (MINIMAL + "seed: 1\nseed: 2\n", "line 4: not valid YAML: the key 'seed' occurs twice"),
    "nested duplicate": ("name: t\ntrace:\n  source: a\n  source: b\n", "line 4"),
    "number as key": ("name: t\n5: 1\n", "line 2: not valid YAML: a key must be plain text, not '5'"),
    "list as key": ("name: t\n[1, 2]: 1\n", "a key must be plain text"),
    "alias": ("name: &a t\noutput: *a\n", "line 1: not valid YAML: anchors, aliases and tags"),
    "merge key": ("name: t\n<<: {seed: 1}\n", "<<: unknown key"),
    "python tag": ("name: !!python/object/apply:os.system [ls]\n", "anchors, aliases and tags"),
    "odd tag": ("name: !!int ''\n", "anchors, aliases and tags"),
    "deep": ("name: " + "[" * 5000 + "]" * 5000, "nested too deeply"),
    "huge number": (MINIMAL + "seed: " + "9" * 5000, "x.yaml"),
    "no name": ("methods: {m: {network: mlp}}\n", "x.yaml: name: missing"),
    "no methods": ("name: t\n", "methods: missing"),
    "methods empty": ("name: t\nmethods: {}\n", "methods: must not be empty"),
    "methods a list": ("name: t\nmethods: [spane]\n", "methods: must be a mapping"),
    "method null": ("name: t\nmethods: {m: null}\n", "methods.m: must be a mapping"),
    "method without network": ("name: t\nmethods: {m: {trials: 1}}\n", "methods.m.network: missing"),
    "method name": (
        "name: t\nmethods: {a/b: {network: mlp}}\n",
        "methods.a/b: 'a/b' must be 1 to 100 letters",
    ),
    "method name with line break": ('name: t\nmethods: {"a\\nb": {network: mlp}}\n', "'a\\nb' must be"),
    "other network's option": (
        "name: t\nmethods: {m: {network: mlp, options: {server_width: 8}}}\n",
        "allowed: width, depth",
    ),
}


@pytest.mark.parametrize(("text", "expected"), BAD_TEXT.values(), ids=BAD_TEXT.keys())
def test_bad_text(tmp_path: Path, text: str, expected: str) -> None:
    message = refusal(write(tmp_path, text))
    assert "x.yaml: " in message
    assert expected in message


BAD_VALUE = {
    "training.learing_rate=1": "training.learing_rate: unknown key; did you mean learning_rate? allowed:",
    "zzz=1": "zzz: unknown key; allowed: problem, name, output",
    "methods.m.option={}": "methods.m.option: unknown key; did you mean options?",
    "methods.m.options.widht=1": "methods.m.options.widht: unknown key; allowed: server_width",
    "methods.m.training.lanes.x=1": "methods.m.training.lanes: unknown search distribution 'x'",
    'seed="5"': "seed: must be a whole number, got '5'",
    "seed=1.0": "seed: must be a whole number, got 1.0",
    "seed=true": "seed: must be a whole number, got True",
    f"seed=0x{'f' * 4000}": "4294967295, got a number of thousands of digits",
    "seed=-1": "seed: must be greater than or equal to 0, got -1",
    "seed=4294967296": "seed: must be less than or equal to 4294967295",
    "seed=": "seed: must be a whole number, got None",
    "name=a/b": "name: 'a/b' must be 1 to 100 letters",
    "name=..": "name: '..' must be",
    "name=''": "name: '' must be",
    "name=5": "name: must be text, got 5",
    "output=''": "output: must be a path without control characters, got ''",
    'output="a\\0"': "output: must be a path without control characters, got 'a\\x00'",
    'output="a\\Nb"': "output: must be a path",
    "trace=5": "trace: must be a mapping of keys to values, got 5",
    "trace.skip_invalid=1": "trace.skip_invalid: must be true or false, got 1",
    "trace.never_ending=kep": "trace.never_ending: must be 'drop' or 'keep', got 'kep'",
    "cluster.node_cpu=true": "cluster.node_cpu: must be a number, got True",
    "cluster.node_cpu=.inf": "cluster.node_cpu: must be a finite number",
    "cluster.node_cpu=.nan": "cluster.node_cpu: must be a finite number",
    "cluster.servers=0": "cluster.servers: must be greater than or equal to 1, got 0",
    "splits.train=[0, 0.5]": "splits: train [0.0, 0.5] and validation [0.43, 0.6] overlap",
    "splits.train=[0.3, 0.2]": "splits.train: must be [from, to] with from < to",
    "splits.train=[0, 0.1, 0.2]": "splits.train: ",
    "splits.test=[0.7, 1.1]": "splits.test.1: must be less than or equal to 1",
    "training.discount=1.5": "training.discount: must be less than or equal to 1, got 1.5",
    "training.learning_rate=0": "training.learning_rate: must be greater than 0",
    "training.learning_rate={uniform: [0.1, 0.2]}": "search distributions belong under methods.<name>",
    "training.epsilon_final=0.9": "training: epsilon_final 0.9 exceeds epsilon_initial 0.6",
    "training.batch_size=200000": "training: batch_size 200000 exceeds replay_capacity 100000",
    "training={replay_capacity: 40, batch_size: 1}": "training: n_step 50 exceeds replay_capacity 40",
    "training.warmup_episodes=2440": "2440 warmup_episodes of at least 41 decisions do not fit",
    "training.augmentation_permutations=1": "one order changes nothing",
    "training.grad_clip=0": "training.grad_clip: must be greater than 0",
    "training.dqn.discount=1.5": "training.dqn.discount: must be less than or equal to 1, got 1.5",
    "training.dqn=5": "training.dqn: must be a mapping of keys to values",
    "training=5": "training: must be a mapping of keys to values",
    "training={dqn: {discount: 0.5}, discount: 0.6}": "discount: is given as training.dqn.discount too",
    "training.ppo.discount=0.5": "training.ppo: unknown key",
    "methods.m.algorithm=pop": "methods.m.algorithm: 'pop' is unknown; did you mean ppo?",
    "problem=vm_schedulin": "no problem is called 'vm_schedulin'; did you mean vm_scheduling?",
    "problem=5": "problem: must be the name of one, got 5",
    "validation.every=5001": "validation.every 5001 exceeds training.gradient_steps 5000",
    "validation.trim=0.5": "validation.trim: must be less than 0.5",
    "methods.m.network=mpl": "network 'mpl' is unknown; did you mean mlp? allowed: spane, mlp",
    "methods.m.options=[]": "methods.m.options: must be a mapping",
    "methods.m.options.aggregations=[]": "aggregations: must not be empty",
    "methods.m.options.aggregations=mean": "aggregations: must be a list, got 'mean'",
    "methods.m.options.aggregations=[mean, mean]": "must not repeat an item",
    "methods.m.options.aggregations={choice: [mean]}": "aggregations: must be a list, got 'mean'",
    "methods.m.options.server_width={choice: []}": "choice needs a list with at least one item",
    "methods.m.options.server_width={grid: 5}": "grid needs a list",
    "methods.m.options.server_width={grid: [8, 0]}": "must be greater than or equal to 1, got 0",
    "methods.m.options.server_width={uniform: [4, 8]}": "server_width: must be a whole number, got 4.0",
    "methods.m.options.server_width={randint: [4, 8.5]}": "randint needs [low, high], two whole numbers",
    "methods.m.options.server_width={randint: [8, 8]}": "randint needs low < high, got [8, 8]",
    "methods.m.options.server_width={randint: [4, 2000]}": "must be less than or equal to 1024, got 2000",
    "methods.m.options.server_width={chioce: [4]}": "did you mean choice?",
    "methods.m.options.server_width={}": "exactly one of the keys choice, grid",
    "methods.m.options.server_width={grid: [4], choice: [4]}": "exactly one of the keys choice, grid",
    "methods.m.training.learning_rate={loguniform: [0, 1]}": "loguniform needs low > 0, got 0",
    "methods.m.training.learning_rate={loguniform: [0.1]}": "loguniform needs [low, high], two numbers",
    "methods.m.training.learning_rate={uniform: [0.1, .nan]}": "uniform needs low < high",
    "methods.m.training.learning_rate={uniform: [0.1, .inf]}": "must be a finite number",
    f"methods.m.training.learning_rate={{uniform: [0, 1{'0' * 400}]}}": "needs numbers below 1e308",
    "methods.m.training.epsilon_final={grid: [0.1, 0.9]}": "methods.m: trial 1: epsilon_final 0.9 exceeds",
    "methods.m.training.gradient_steps={choice: [100]}": "every 250 exceeds training.gradient_steps 100",
    "methods.m.trials=0": "methods.m.trials: must be greater than or equal to 1",
    "methods.m.trials=4": "methods.m: trials: 4 samples, but no key is sampled",
    "methods.m={network: mlp, seeds: 1000, options: {width: {grid: [1,2,3,4,5,6,7,8,9,10,11]}}}": "11,000",
    "evaluation.heuristics=[sfb]": "evaluation.heuristics.0: 'sfb' is not a heuristic; did you mean sbf?",
    "evaluation.heuristics=[sbf, sbf]": "must not repeat an item",
    "evaluation.servers=[]": "evaluation.servers",
    "evaluation.top_k=0": "evaluation.top_k: must be greater than or equal to 1",
    "resources.cpus_per_trial=0": "resources.cpus_per_trial: must be greater than 0",
    "seed": "--set 'seed': write section.key=value",
    "=5": "write section.key=value",
    "a..b=5": "write section.key=value",
    "seed.x=5": "--set seed.x: seed holds a value, not keys",
    "trace=[": "--set trace: line 1: not valid YAML",
    "trace={a: 1, a: 2}": "--set trace: line 1: not valid YAML: the key 'a' occurs twice",
}  # fmt: skip


@pytest.mark.parametrize(("override", "expected"), BAD_VALUE.items(), ids=[key[:60] for key in BAD_VALUE])
def test_bad_value(tmp_path: Path, override: str, expected: str) -> None:
    path = write(tmp_path, MINIMAL + "seed: 0\n")
    assert expected in refusal(path, override)


def test_an_error_names_the_override_or_the_file_it_came_from(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL + "training: {discount: 2}\n")
    assert refusal(path, "seed=1").startswith(str(path))
    assert refusal(path, "training.discount=3").startswith("--set: training.discount: ")


def test_unknown_keys_are_reported_before_what_they_cause(tmp_path: Path) -> None:
    assert "nam: unknown key; did you mean name?" in refusal(write(tmp_path, "nam: t\nmethods: {}\n"))
    nested = "methods: {m: {network: mlp, trails: 2}}\n"  # and the name is missing
    assert "methods.m.trails: unknown key; did you mean trials?" in refusal(write(tmp_path, nested))


MIXED = (
    "name: t\nmethods: {d: {network: spane}, p: {network: spane, algorithm: ppo, training: {lanes: 16}}}\n"
)


def test_shared_hyper_parameters_reach_every_algorithm_or_are_refused(tmp_path: Path) -> None:
    text = MIXED + "training: {learning_rate: 0.5, dqn: {n_step: 7}, ppo: {epochs: 2}}\n"
    config = load_experiment(write(tmp_path, text))
    dqn, ppo = (trial.training for trial in draw_trials(config))
    assert (dqn.learning_rate, dqn.n_step, dqn.lanes) == (0.5, 7, 16)
    assert (ppo.learning_rate, ppo.epochs, ppo.lanes) == (0.5, 2, 16)
    message = refusal(write(tmp_path, MIXED + "training: {n_step: 7}\n"))
    assert (
        "training.n_step: ppo trains some methods and has no such key; write it under training.dqn" in message
    )
    unknown = refusal(write(tmp_path, MIXED + "training: {learing_rate: 7}\n"))
    assert "training.learing_rate: unknown key; did you mean learning_rate?" in unknown


def test_what_an_objective_does_not_have_is_refused(tmp_path: Path) -> None:
    text = MINIMAL + "scenario: fading\n"
    assert load_experiment(write(tmp_path, text)).problem == "vm_allocations"
    assert "validation.trim: unknown key" in refusal(write(tmp_path, text), "validation.trim=0.1")
    assert "cluster: unknown key" in refusal(write(tmp_path, text), "cluster.servers=5")
    assert "training.reward: must be" in refusal(write(tmp_path, text), "training.reward=log_wait")
    assert "training.reward: must be" in refusal(write(tmp_path, MINIMAL), "training.reward=allocation")


def test_a_null_scenario_means_waits(tmp_path: Path) -> None:
    assert load_experiment(write(tmp_path, MINIMAL + "scenario: null\n")).problem == "vm_scheduling"


def test_overrides_win_in_order_and_create_sections(tmp_path: Path) -> None:
    path = write(tmp_path, SEARCHED + "splits: null\ntraining: {discount: 0.5}\n")
    config = load_experiment(
        path,
        [
            "training.discount=0.6",
            "training.discount=0.7",
            "splits.test=[0.6, 1]",
            "methods.m.trials=3",
            "methods.other={network: mlp}",
            "methods.m.options.server_width={choice: [4, 8]}",
        ],
    )
    assert config.training["dqn"].discount == 0.7
    assert config.splits is not None and config.splits.test == (0.6, 1.0)
    assert config.methods["m"].trials == 3
    assert config.methods["m"].options == {"server_width": Distribution("choice", (4, 8))}
    assert config.methods["other"].network == "mlp"


def test_bad_files(tmp_path: Path) -> None:
    assert "no such file, and no such preset; did you mean quick?" in refusal("quik")
    assert "no such file" in refusal(tmp_path / "absent.yaml")
    assert "no such file" in refusal(tmp_path / "quick.yaml")  # a preset is found by name, not by any path
    assert "is a folder" in refusal(tmp_path)
    assert "a\\x00b" in refusal("a\0b")
    assert "File name too long" in refusal("a" * 5000)
    assert "not text in UTF-8 (byte 1)" in refusal(write(tmp_path, b"a\xff\xfe\x00"))
    assert "larger than 262,144 bytes" in refusal(write(tmp_path, MINIMAL + "#" * MAX_BYTES))
    odd = tmp_path / "a\nb.yaml"
    odd.write_text("- 1")
    assert "must hold keys" in refusal(odd)


def test_a_file_comes_before_a_preset_of_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "quick.yaml").write_text(MINIMAL)
    monkeypatch.chdir(tmp_path)
    assert load_experiment("quick.yaml").name == "t"
    assert load_experiment("quick").name == "quick"


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, spane_rllib.experiments.tuning.loading as loading; loading.load_experiment('quick');"
        "print([name for name in ('ray', 'torch', 'numba', 'pandas', 'matplotlib') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
KEYS = st.sampled_from(
    [*ExperimentConfig.model_fields, "network", "options", "lanes", "choice", "uniform", "spane", "m"]
)
DATA = st.recursive(
    SCALARS | st.sampled_from(["spane", "mlp", "auto"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=4), inner),
    max_leaves=12,
)  # fmt: skip


def loads_or_refuses(path: Path, *overrides: str) -> None:
    try:
        config = load_experiment(path, overrides)
    except UserError as error:
        assert len(str(error).splitlines()) == 1
        assert str(error).isprintable()
    else:
        assert isinstance(config, ExperimentConfig)


@settings(max_examples=150)
@given(data=st.dictionaries(KEYS, DATA, max_size=5), base=st.booleans())
def test_any_structure_loads_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, object], base: bool
) -> None:
    if base:
        data = {"name": "t", "methods": {"m": {"network": "spane"}}, **data}
    loads_or_refuses(write(tmp_path_factory.mktemp("fuzz"), yaml.safe_dump(data)))


@settings(max_examples=150)
@given(
    text=st.text(max_size=60)
    | st.text(alphabet="{}[]:,-&*!|>'\"%@#?\n\t a1e.", max_size=60)
    | st.binary(max_size=40)
)
def test_any_text_loads_or_is_refused(tmp_path_factory: pytest.TempPathFactory, text: str | bytes) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "x.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    loads_or_refuses(path)


@settings(max_examples=150)
@given(
    key=st.text(max_size=20) | st.lists(KEYS, min_size=1, max_size=4).map(".".join),
    value=st.text(max_size=20),
)
def test_any_override_loads_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: str
) -> None:
    loads_or_refuses(write(tmp_path_factory.mktemp("fuzz"), MINIMAL), f"{key}={value}")
