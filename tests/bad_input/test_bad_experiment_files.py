"""Experiment files and `--set` through the whole command: one line that names the key."""

from __future__ import annotations

from pathlib import Path

import pytest
from refusals import Refuse

GOOD = "name: t\noutput: out\nmethods: {m: {network: mlp}}\ntrace: {source: synthetic, synthetic_vms: 500}\n"
# What is appended to the good file, and what the error line says.
FILES = {
    "near key": ("sed: 1", "x.yaml: sed: unknown key; did you mean seed?"),
    "near nested key": ("training: {learning_rte: 1}", "training.learning_rte: unknown key; did you mean le"),
    "near method key": ("evaluation: {topk: 1}", "evaluation.topk: unknown key; did you mean top_k?"),
    "far key": ("qqqq: 1", "qqqq: unknown key; allowed: problem, name, output"),
    "wrong case": ("Seed: 1", "Seed: unknown key; did you mean seed?"),
    "text for a number": ("seed: one", "seed: must be a whole number, got 'one'"),
    "number for text": ("keep_weights: 1", "keep_weights: must be 'best' or 'all', got 1"),
    "list for a section": ("cluster: [5]", "cluster: must be a mapping of keys to values"),
    "null for a section": ("cluster: null", "cluster: must be a mapping of keys to values"),
    "fraction for a count": ("cluster: {servers: 2.5}", "cluster.servers: must be a whole number"),
    "not a number": ("cluster: {node_cpu: .nan}", "cluster.node_cpu: must be a finite number"),
    "below the range": ("validation: {trim: -0.1}", "validation.trim: must be greater than or equal to 0"),
    "above the range": ("resources: {max_failures: 101}", "max_failures: must be less than or equal to 100"),
    "huge": ("evaluation: {episodes: 99999999999}", "episodes: must be a whole number from 1 to 1,000,000"),
    "a key twice": ("seed: 1\nseed: 2", "line 6: not valid YAML: the key 'seed' occurs twice"),
    "broken YAML": ("seed: [1, 2", "not valid YAML"),
    "base 60 of YAML 1.1": ("seed: 1:30", "seed: must be a whole number, got '1:30'"),
    "underscores of YAML 1.1": ("seed: 1_000", "seed: must be a whole number, got '1_000'"),
    "binary of YAML 1.1": ("seed: 0b11", "seed: must be a whole number, got '0b11'"),
    "truth of YAML 1.1": ("cluster: {node_cpu: yes}", "node_cpu: must be a number, got 'yes'"),
    "date of YAML 1.1": ("seed: 2001-01-01", "seed: must be a whole number, got '2001-01-01'"),
    "merge of YAML 1.1": ("<<: {seed: 1}", "<<: unknown key"),
    "half of a character": ('keep_weights: "\\ud800"', "line 5: not valid YAML: half of a character"),
    "half of a character as a key": ('"\\udfff": 1', "line 5: not valid YAML: half of a character"),
    "a number of thousands of digits": ("seed: " + "9" * 5000, "not valid YAML: Exceeds the limit"),
    "a tag": ("seed: !!python/name:os.system x", "anchors, aliases and tags"),
    "an alias": ("seed: *seed", "anchors, aliases and tags"),
    "tabs": ("\tseed: 1", "not valid YAML"),
}  # fmt: skip
CONTRADICTIONS = {
    "splits overlap": ("splits: {train: [0, 0.5], validation: [0.4, 0.6]}", "overlap"),
    "split reversed": ("splits: {train: [0.4, 0.1]}", "must be [from, to] with from < to"),
    "epsilon rises": ("training: {epsilon_initial: 0.1, epsilon_final: 0.2}", "exceeds epsilon_initial"),
    "batch beyond replay": ("training: {batch_size: 600, replay_capacity: 500}", "exceeds replay_capacity"),
    "no validation": ("training: {gradient_steps: 10}", "exceeds training.gradient_steps 10"),
    "warm-up beyond replay": ("training: {replay_capacity: 2000}", "do not fit"),
    "trials without a search": ("methods: {n: {network: mlp, trials: 3}}", "no key is sampled"),
    "more cores than there are": ("resources: {cpus_per_trial: 3, num_cpus: 2}", "exceeds num_cpus 2"),
    "mlp on a huge cluster": ("cluster: {servers: 5000}", "methods.m: network mlp can have at most 4096"),
    "nobody to evaluate": ("evaluation: {heuristics: [], servers: [2, 9]}", "nothing to evaluate"),
    "servers too small": ("cluster: {node_cpu: 2}", "can hold"),
    "sizes too fine": ("cluster: {node_cpu: 40.00001}", "must be multiples of"),
    "split without rows": ("splits: {test: [0.9451, 0.9452]}", "split test has no rows: [472, 472)"),
    "other network's option": ("methods: {n: {network: mlp, options: {value_width: 8}}}", "allowed: width"),
    "twice the same heuristic": ("evaluation: {heuristics: [sbf, sbf]}", "must not repeat an item"),
    "too many trials": (
        "methods: {n: {network: mlp, seeds: 1000, options: {width: {grid: [1,2,3,4,5,6,7,8,9,10,11]}}}}",
        "at most 10,000 are allowed",
    ),
}  # fmt: skip
OVERRIDES = {
    "problem=vm_schedulin": "no problem is called 'vm_schedulin'; did you mean vm_scheduling?",
    "problem=5": "x.yaml: problem: must be the name of one, got 5",
    "problem=absent_module:PROBLEM": "x.yaml: absent_module:PROBLEM: no module absent_module; run in the",
    "problem=broken_module:PROBLEM": "broken_module:PROBLEM: importing broken_module failed: ValueError(",
    "problem=json:dumps": "problem json:dumps: function is not a Problem",
    "methods.m.network=absent_module:Net": "methods.m.network: absent_module:Net: no module absent_module",
    "training.gradient_step=5": "--set: training.gradient_step: unknown key; did you mean gradient_steps?",
    "resource.num_cpus=2": "resource: unknown key; did you mean resources?",
    "methods.m.network=span": "methods.m.network: network 'span' is unknown; did you mean spane? all",
    "methods.m.training.lr=0.1": "methods.m.training.lr: unknown key",
    "methods.m.options.width={chioce: [4]}": "did you mean choice?",
    "methods.m.options.width={choice: []}": "at least one item",
    "methods=null": "methods: must be a mapping",
    "name=../escape": "name: '../escape' must be 1 to 100 letters",
    "name=": "name: must be text, got None",
    "output=5": "output: must be text, got 5",
    "trace.source=5": "trace.source: must be text, got 5",
    "trace.synthetic_vms=10": "trace.synthetic_vms: must be greater than or equal to 100, got 10",
    "evaluation.split=tset": "evaluation.split: must be 'train', 'validation' or 'test', got 'tset'",
    "evaluation.heuristics=[first_fit]": "'first_fit' is not a heuristic; did you mean first-fit?",
    "evaluation.servers=[0]": "evaluation.servers.0: must be greater than or equal to 1, got 0",
    "training.loss=mae": "training.loss: must be",
    "training.discount=-1": "training.discount: must be greater than or equal to 0",
    "seed=[": "--set seed: line 1: not valid YAML",
}  # fmt: skip
CASES = FILES | CONTRADICTIONS


@pytest.mark.parametrize(("extra", "expected"), CASES.values(), ids=CASES)
def test_bad_file(refuse: Refuse, place: Path, extra: str, expected: str) -> None:
    section = extra.partition(":")[0]
    kept = [line for line in GOOD.splitlines() if not line.startswith(f"{section}:")]
    (place / "x.yaml").write_text("\n".join([*kept, extra, ""]))
    assert expected in refuse("tune", "x.yaml")


@pytest.mark.usefixtures("broken_module")
@pytest.mark.parametrize(("override", "expected"), OVERRIDES.items(), ids=OVERRIDES)
def test_bad_override(refuse: Refuse, place: Path, override: str, expected: str) -> None:
    (place / "x.yaml").write_text(GOOD)
    assert expected in refuse("tune", "x.yaml", "--set", override)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the file is empty"),
        (b"\xff\xfen\x00", "not text in UTF-8"),
        (b"just text", "must hold keys and values"),
        (b"name: " + b"[" * 5000, "nested too deeply"),
        (b"#" * 300_000, "larger than 262,144 bytes"),
        (b"vmid,cpu,mem,at,lt\n1,1,1,0,5\n", "must hold keys and values"),
    ],
)
def test_no_experiment_file(refuse: Refuse, place: Path, content: bytes, expected: str) -> None:
    (place / "x.yaml").write_bytes(content)
    assert expected in refuse("tune", "x.yaml")


def test_an_experiment_that_is_there_is_not_begun_again(refuse: Refuse, place: Path) -> None:
    (place / "x.yaml").write_text(GOOD)
    (place / "out" / "t").mkdir(parents=True)
    (place / "out" / "t" / "config.yaml").write_text(GOOD)
    assert "out/t holds an experiment already; continue it with --resume out/t" in refuse("tune", "x.yaml")
