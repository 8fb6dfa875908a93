"""Wrong commands, options and values, and places that cannot be read or written."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from refusals import Refuse, check_refusal

SCENARIO = "evaluate --trace synthetic:vms=300 --scenario fading --policy first-fit"
PUBLISHED = "evaluate --trace synthetic:vms=300 --published-table"
EVALUATE = "evaluate --trace synthetic:vms=300 --policy first-fit"
COMPARE = "compare --trace synthetic:vms=300 sbf"
LONG = "x" * 5000
# Command line and what its error line says. `file` is a file, `empty` a folder.
TABLE = [
    # the program
    ("", "name a command: data, tune, search, analyze, evaluate"),
    ("tunes", "no command is called 'tunes'; known: data, tune"),
    ("--verbose", "no command is called '--verbose'"),
    ("'a\nb'", r"no command is called 'a\nb'"),
    # data
    ("data", "arguments are required: COMMAND; see spane-rllib data --help"),
    ("data lst", "invalid choice: 'lst'"),
    ("data list extra", "unrecognized arguments: extra"),
    ("data fetch", "arguments are required: NAME"),
    ("data fetch azure", "no dataset is called 'azure'; known: huawei-east-1"),
    ("data fetch huawei-east-1-lt --output file", "cannot write to file: Not a directory"),
    ("data fetch huawei-east-1-lt --output file/deeper", "Not a directory"),
    (f"data fetch huawei-east-1-lt --output {LONG}", "File name too long"),
    ("data verify", "arguments are required: NAME_OR_PATH"),
    ("data verify loop", "cannot read loop: Too many levels of symbolic links"),
    ("data describe loop", "no trace at loop"),
    ("data describe ~nosuchuser/x", "~nosuchuser/x: there is no home folder of that name"),
    ("data convert loop out.csv", "cannot read loop"),
    ("evaluate --trace loop --policy sbf", "no trace at loop"),
    ("evaluate --trace ~nosuchuser/x --policy sbf", "there is no home folder of that name"),
    (f"{EVALUATE} --policy loop", "policy 'loop': neither a heuristic"),
    (f"{EVALUATE} --starts loop", "cannot read loop: Too many levels of symbolic links"),
    (f"{EVALUATE} --scenario loop", "'loop': no such file, and no such preset"),
    (f"{COMPARE} loop", "policy 'loop': neither a heuristic"),
    ("compare loop loop", "A and B are the same policy, loop"),
    ("tune loop", "'loop': no such file, and no such preset"),
    ("tune quick --set trace.source=loop", "no trace at loop"),
    ("tune quick --set trace.source=~nosuchuser/x", "there is no home folder of that name"),
    ("tune quick --set output=loop", "cannot write to loop/quick: Too many levels of symbolic links"),
    ("tune --resume loop", "loop: no experiment there"),
    ("analyze loop", "loop: no experiment there"),
    ("view loop", "cannot read loop: Too many levels of symbolic links"),
    ("models import loop", "cannot read loop: Too many levels of symbolic links"),
    ("data verify absent.csv", "cannot read absent.csv: No such file"),
    ("data verify empty", "cannot read empty: Is a directory"),
    ("data verify huawei-east-1", "cannot read data/Huawei-East-1.csv"),
    ("data verify file/deeper", "Not a directory"),
    (f"data verify {LONG}", "File name too long"),
    ("data convert file", "arguments are required: OUT"),
    ("data convert absent.csv out.csv", "cannot read absent.csv"),
    ("data convert absent.csv out.txt", "cannot write out.txt: the name must end in .csv, .csv.gz, .npy"),
    ("data convert file out.csv --never-ending maybe", "argument --never-ending: invalid choice: 'maybe'"),
    ("data convert file out.csv --skip", "row 1: missing column"),
    ("data describe", "arguments are required: PATH"),
    ("data describe absent.csv", "no trace at absent.csv"),
    ("data describe empty", "no known dataset in "),
    ("data describe synthetic:vms=0", "vms of 1 to 10000000"),
    ("data describe synthetic:vms=99999999999", "vms of 1 to 10000000"),
    ("data describe synthetic:vms=-5", "cannot use 'vms=-5'; write synthetic:vms=20000,seed=3"),
    ("data describe synthetic:vms=many", "cannot use 'vms=many'"),
    ("data describe synthetic:vm=10", "cannot use 'vm=10'"),
    ("data describe synthetic:vms=10 --plot out.docx", "cannot draw out.docx: the suffix must be one of"),
    ("data describe synthetic:vms=10 --plot file/out.png", "cannot write file/out.png"),
    ("data describe synthetic:vms=10 --plot", "argument --plot: expected one argument"),
    ("data synthesize", "arguments are required: OUT"),
    ("data synthesize out", "cannot write out: the name must end in"),
    ("data synthesize out.csv --vms 0", "vms of 1 to 10000000"),
    ("data synthesize out.csv --vms -1", "vms of 1 to 10000000"),
    ("data synthesize out.csv --vms 1e3", "argument --vms: invalid int value: '1e3'"),
    ("data synthesize out.csv --vms 100000000000", "vms of 1 to 10000000"),
    ("data synthesize out.csv --seed -1", "a seed of at least 0"),
    ("data synthesize out.csv --seed x", "argument --seed: invalid int value: 'x'"),
    ("data synthesize file/out.csv --vms 10", "cannot write to file: Not a directory"),
    ("data synthesize empty.csv/a.npy/b.csv --vms 10 --colour", "unrecognized arguments: --colour"),
    # models
    ("models", "arguments are required: COMMAND; see spane-rllib models --help"),
    ("models export", "invalid choice: 'export'"),
    ("models import", "arguments are required: FILE"),
    ("models import absent.th", "cannot read absent.th: No such file"),
    ("models import empty", "cannot read empty: Is a directory"),
    ("models import file", "file: not a state dict of torch, or damaged"),
    (f"models import {LONG}", "File name too long"),
    ("models import a/x.th b/x.th", "b/x.th and a/x.th would both become models/x; import them apart"),
    ("models import absent.th --output file", "cannot write to file: Not a directory"),
    ("models import empty.th --output .", "empty exists already; give another --output"),
    ("models import absent.th --aggregations", "argument --aggregations: expected one argument"),
    # evaluate
    ("evaluate", "arguments are required: --policy; see python -m spane_rllib.evaluate --help"),
    ("evaluate --policy", "argument --policy: expected one argument"),
    ("evaluate --trace synthetic:vms=300 --policy frist-fit", "policy 'frist-fit': neither a heuristic"),
    ("evaluate --trace synthetic:vms=300 --policy ''", "neither a heuristic"),
    (f"evaluate --trace synthetic:vms=300 --policy {LONG}", "File name too long"),
    ("evaluate --trace synthetic:vms=300 --policy empty", "no such file; a model folder holds model.json"),
    ("evaluate --trace synthetic:vms=300 --policy file", "no such file; a model folder holds model.json"),
    ("evaluate --trace absent.csv --policy sbf", "no trace at absent.csv"),
    ("evaluate --trace empty --policy sbf", "no known dataset in"),
    ("evaluate --trace file --policy sbf", "row 1: missing column"),
    (f"evaluate --trace {LONG} --policy sbf", "File name too long"),
    ("evaluate --trace synthetic:vms=2 --policy sbf", "split train has no rows"),
    (f"{EVALUATE} --servers 0", "argument --servers: must be a whole number from 1 to 10000, got '0'"),
    (f"{EVALUATE} --servers 5 --servers -2", "argument --servers: must be a whole number"),
    (f"{EVALUATE} --servers 5.5", "argument --servers: must be a whole number"),
    (f"{EVALUATE} --servers {'9' * 5000}", "argument --servers: must be a whole number"),
    (f"{EVALUATE} --node-cpu nan", "node_cpu: nan is not allowed"),
    (f"{EVALUATE} --node-cpu inf", "node_cpu: inf is not allowed"),
    (f"{EVALUATE} --node-cpu 0", "node_cpu: 0.0 is not allowed"),
    (f"{EVALUATE} --node-cpu forty", "argument --node-cpu: invalid float value: 'forty'"),
    (f"{EVALUATE} --node-cpu 1", "more than an empty server"),
    (f"{EVALUATE} --node-cpu 1e308", "too large to count"),
    (f"{EVALUATE} --node-memory 1e308", "too large to count"),
    (f"{EVALUATE} --node-cpu 1e12", "too large to count"),
    (f"{EVALUATE} --node-memory -90", "node_memory: -90.0 is not allowed"),
    (f"{EVALUATE} --node-memory 0.5", "more than an empty server"),
    (f"{EVALUATE} --double-memory-threshold -1", "double_memory_threshold: -1.0 is not allowed"),
    (f"{EVALUATE} --double-memory-threshold nan", "double_memory_threshold: nan is not allowed"),
    (f"{EVALUATE} --episodes 0", "argument --episodes: must be a whole number from 1 to 1000000, got '0'"),
    (f"{EVALUATE} --episodes -3", "argument --episodes: must be"),
    (f"{EVALUATE} --episodes 99999999999", "argument --episodes: must be"),
    (f"{EVALUATE} --episodes many", "argument --episodes: must be a whole number"),
    (f"{EVALUATE} --seed -1", "argument --seed: must be a whole number from 0 to 4294967295, got '-1'"),
    (f"{EVALUATE} --seed 4294967296", "argument --seed: must be"),
    (f"{EVALUATE} --workers abc", "argument --workers: must be a whole number from 0 to 4096, got 'abc'"),
    (f"{EVALUATE} --workers -1", "argument --workers: must be"),
    (f"{EVALUATE} --workers 1000000", "argument --workers: must be"),
    (f"{EVALUATE} --split all", "argument --split: invalid choice: 'all'"),
    (f"{EVALUATE} --split test --starts file", "not allowed with argument --split"),
    (f"{EVALUATE} --starts absent.txt", "cannot read absent.txt"),
    (f"{EVALUATE} --output file", "cannot write to file: Not a directory"),
    (f"{EVALUATE} --output file/deeper/still", "cannot write to file/deeper/still: Not a directory"),
    (f"{EVALUATE} --output {LONG}", "File name too long"),
    (f"{EVALUATE} --output out --servers 0", "argument --servers"),
    (f"{EVALUATE} --output out --policy nothing", "policy 'nothing': neither a heuristic"),
    (f"{EVALUATE} --episods 5", "unrecognized arguments: --episods 5"),
    (f"{EVALUATE} --record file", "cannot write to file: Not a directory"),
    (f"{EVALUATE} --record-episodes 2", "argument --record-episodes: only allowed with argument --record"),
    (f"{EVALUATE} --record out --record-episodes 0", "argument --record-episodes: must be a whole number"),
    # evaluate --scenario
    (f"{SCENARIO} --record file", "cannot write to file: Not a directory"),
    (f"{SCENARIO} --record-episodes 2", "argument --record-episodes: only allowed with argument --record"),
    (f"{SCENARIO} --node-memory 90", "argument --node-memory: not allowed with argument --scenario"),
    (f"{SCENARIO} --double-memory-threshold 1", "--double-memory-threshold: not allowed with argument --sc"),
    (f"{SCENARIO} --starts absent.txt", "cannot read absent.txt"),
    (f"{SCENARIO} --starts file --split train", "argument --split: not allowed with argument --starts"),
    (f"{SCENARIO} --record out --policy nothing", "policy 'nothing': neither a heuristic"),
    (f"{SCENARIO} --scenario absent.yaml", "absent.yaml"),
    # evaluate --problem, and code of one's own
    (f"{EVALUATE} --problem vm_schedulin", "no problem is called 'vm_schedulin'; did you mean vm_sched"),
    (f"{EVALUATE} --problem ''", "no problem is called ''"),
    (f"{EVALUATE} --problem absent_module:PROBLEM", "absent_module:PROBLEM: no module absent_module; run in"),
    (f"{EVALUATE} --problem broken_module:PROBLEM", "importing broken_module failed: ValueError("),
    (f"{EVALUATE} --problem json:PROBLEM", "json:PROBLEM: json has no PROBLEM"),
    (f"{EVALUATE} --problem json:dumps", "problem json:dumps: function is not a Problem"),
    (f"{EVALUATE} --policy absent_module:Mine", "absent_module:Mine: no module absent_module; run in the"),
    (f"{EVALUATE} --policy broken_module:Mine", "importing broken_module failed: ValueError("),
    (f"{EVALUATE} --policy json:Mine", "json:Mine: json has no Mine"),
    (f"{EVALUATE} --policy json:dumps", "policy json:dumps: needs to be a class with a method act(obser"),
    (f"{EVALUATE} --policy json:JSONEncoder", "policy json:JSONEncoder: needs to be a class with a method"),
    (f"{EVALUATE} --policy a/b:Mine", "policy 'a/b:Mine': neither a heuristic"),
    # evaluate --published-table
    (f"{PUBLISHED} --record out", "argument --record: not allowed with argument --published-table"),
    (f"{PUBLISHED} --record-episodes 2", "--record-episodes: only allowed with argument --record"),
    (f"{PUBLISHED} --episodes all", "--episodes: all is not allowed with argument --published-table"),
    (f"{PUBLISHED} --starts absent.txt", "argument --starts: not allowed with argument --published-table"),
    (f"{PUBLISHED} --servers 5", "argument --servers: not allowed with argument --published-table"),
    (f"{PUBLISHED} --output file", "cannot write to file: Not a directory"),
    # compare
    ("compare", "arguments are required: A, B; see python -m spane_rllib.compare --help"),
    ("compare sbf", "arguments are required: B"),
    ("compare sbf sbf", "A and B are the same policy, sbf; name two"),
    ("compare empty ./empty/", "A and B are the same policy, empty; name two"),
    (f"{COMPARE} frist-fit", "policy 'frist-fit': neither a heuristic"),
    (f"{COMPARE} empty", "no such file; a model folder holds model.json"),
    (f"{COMPARE} {LONG}", "File name too long"),
    (f"{COMPARE} first-fit keep-64", "unrecognized arguments: keep-64"),
    (f"{COMPARE} first-fit --resamples 99", "must be a whole number from 100 to 100000, got '99'"),
    (f"{COMPARE} first-fit --resamples many", "argument --resamples: must be"),
    (f"{COMPARE} first-fit --workers -1", "argument --workers: must be"),
    (f"{COMPARE} first-fit --episodes none", "argument --episodes: must be a whole number"),
    (f"{COMPARE} first-fit --starts absent.txt", "cannot read absent.txt"),
    (f"{COMPARE} first-fit --output file", "cannot write to file: Not a directory"),
    (f"{COMPARE} first-fit --node-cpu 1", "more than an empty server"),
    # tune
    ("tune quik", "'quik': no such file, and no such preset; did you mean quick?"),
    ("tune absent.yaml", "no such file, and no such preset"),
    ("tune empty", "is a folder; name a YAML file or a preset"),
    (f"tune {LONG}", "File name too long"),
    ("tune quick extra", "unrecognized arguments: extra"),
    ("tune quick --set", "argument --set: expected one argument"),
    ("tune quick --set seed", "write section.key=value"),
    ("tune quick --set seed.x=1", "seed holds a value, not keys"),
    ("tune quick --set output=file", "cannot write to file/quick: Not a directory"),
    ("tune quick --set output=file/deeper", "cannot write to file/deeper/quick"),
    (f"tune quick --set output={LONG}", "File name too long"),
    ("tune quick --set trace.source=absent.csv", "no trace at absent.csv"),
    ("tune quick --set trace.source=empty", "no known dataset in"),
    ("tune quick --set trace.source=file", "row 1: missing column"),
    ("tune quick --set trace.source=synthetic:vms=abc", "cannot use 'vms=abc'"),
    ("tune quick --resume empty", "--resume takes the configuration of the results folder"),
    ("tune --resume empty --set seed=1", "leave out CONFIG and --set"),
    ("tune --resume", "argument --resume: expected one argument"),
    ("tune --resume ''", "no experiment there"),
    # analyze
    ("analyze", "arguments are required: DIR"),
    ("analyze empty --top 0", "argument --top: must be a whole number from 1 to 1000000, got '0'"),
    ("analyze empty --top many", "argument --top: must be"),
    ("analyze empty other", "unrecognized arguments: other"),
    (f"analyze {LONG}", "File name too long"),
]  # fmt: skip


@pytest.fixture
def files(place: Path) -> None:
    (place / "file").write_text("a,b\n1,2\n")
    (place / "empty").mkdir()
    (place / "loop").symlink_to("loop")


@pytest.mark.usefixtures("files", "broken_module")
@pytest.mark.parametrize(("line", "expected"), TABLE, ids=[line[:70] for line, _ in TABLE])
def test_bad_command_line(refuse: Refuse, line: str, expected: str) -> None:
    assert expected in refuse(*shlex.split(line))


PROCESSES = [
    ("spane_rllib", "tunes"),
    ("spane_rllib", "evaluate --policy sbf --workers abc"),
    ("spane_rllib.data", "convert file"),
    ("spane_rllib.data", "describe file"),
    ("spane_rllib.evaluate", "--policy nothing --trace synthetic:vms=300 --output out"),
    ("spane_rllib.evaluate", "--policy sbf --trace synthetic:vms=300 --output file/out"),
    ("spane_rllib.evaluate", "--policy sbf --trace synthetic:vms=300 --node-cpu 1e308"),
    ("spane_rllib.tune", "quick --set training.learing_rate=1"),
    ("spane_rllib.tune", "quick --set output=file"),
    ("spane_rllib.tune", "--resume empty"),
    ("spane_rllib.analyze", "file"),
    ("spane_rllib.compare", "sbf sbf"),
    ("spane_rllib.study", "absent.yaml"),
]


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(("module", "line"), PROCESSES, ids=[" ".join(pair) for pair in PROCESSES])
def test_bad_command_line_in_a_process_of_its_own(place: Path, module: str, line: str) -> None:
    code = f"import runpy, sys; sys.argv[0] = 'x'; runpy.run_module({module!r}, run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", code, *shlex.split(line)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    check_refusal(done.returncode, done.stderr)
    assert done.stdout == ""
    assert sorted(path.name for path in place.rglob("*")) == ["empty", "file", "loop"]


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("closed", ["2>&-", "1>&- 2>&-", "<&- 1>&- 2>&-"])
def test_closed_streams(place: Path, closed: str) -> None:
    """Nothing is printed into a file that happens to get the number of a closed stream."""
    command = f"{shlex.quote(sys.executable)} -m spane_rllib"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    for line, code in (("data convert file out.csv", 2), ("data synthesize made.csv --vms 20", 0)):
        done = subprocess.run(f"{command} {line} {closed}", shell=True, env=environment, capture_output=True)
        assert (done.returncode, done.stdout if code else b"") == (code, b"")
    assert len((place / "made.csv").read_text().splitlines()) == 21
    assert not (place / "out.csv").exists()


def test_a_compiler_that_is_switched_off(place: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "spane_rllib", *shlex.split(EVALUATE)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "NUMBA_DISABLE_JIT": "1"},
    )
    assert "NUMBA_DISABLE_JIT is set" in check_refusal(done.returncode, done.stderr)
