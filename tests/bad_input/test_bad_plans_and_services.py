"""Wrong command lines of plans, services, completion and pods, with pipes, devices and looping links."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest
from refusals import Refuse

PODS = "evaluate --problem pod_migration --policy no-op"
SERVE = "serve first-fit"
PLAN = "plan --problem pod_migration published"
LONG = "x" * 300
TABLE = [
    # plan
    ("plan --problem pod_migration", "arguments are required: CLUSTER"),
    (
        "plan --problem pod_migration absent",
        "cluster 'absent': no such file, and no such preset; allowed: published",
    ),
    ("plan --problem pod_migration empty", "cluster 'empty': no such file"),
    ("plan --problem pod_migration file", "file: must hold nodes and pods"),
    ("plan --problem pod_migration loop", "cluster 'loop': no such file"),
    ("plan --problem pod_migration pipe", "cluster 'pipe': no such file"),
    ("plan --problem pod_migration zero", "cluster 'zero': no such file"),
    ("plan --problem pod_migration ~nosuchuser/x", "~nosuchuser/x: there is no home folder of that name"),
    ("plan --problem pod_migration ''", "cluster: must be a path"),
    (f"plan --problem pod_migration {LONG}", "File name too long"),
    ("plan absent --problem vm_scheduling", "problem vm_scheduling: makes no plans"),
    ("plan absent --problem x", "no problem is called 'x'"),
    ("plan absent --problem absent_module:P", "absent_module:P: no module absent_module"),
    (f"{PLAN} --moves many", "moves: must be a whole number, got 'many'"),
    (f"{PLAN} --moves -1", "moves: must be greater than or equal to 1"),
    (f"{PLAN} --moves 1:30", "moves: must be a whole number, got '1:30'"),
    (f"{PLAN} --moves '[1]'", "moves: must be a whole number, got [1]"),
    (f"{PLAN} --overload 2", "overload: must be less than or equal to 1"),
    (f"{PLAN} --overload .nan", "overload: must be a finite number"),
    (f"{PLAN} --underload -1", "underload: must be greater than or equal to 0"),
    (f"{PLAN} --overload 0.1 --underload 0.5", "underload 0.5 is not below overload 0.1"),
    (f"{PLAN} --weights 5", "weights: must be a mapping of keys to values"),
    (f"{PLAN} --weights '{{x: 1}}'", "weights.x: unknown key"),
    (f"{PLAN} --weights '{{'", "argument --weights: line 1: not valid YAML"),
    (f"{PLAN} --weights '*a'", "anchors, aliases and tags"),
    (f"{PLAN} --weights '{'[' * 5000}'", "nested too deeply"),
    (f"{PLAN} --allocation fair", "allocation: must be 'proportional' or 'sjf', got 'fair'"),
    (f"{PLAN} --max-pods-per-node 0", "max_pods_per_node: must be greater than or equal to 1"),
    (f"{PLAN} --form xml", "argument --form: invalid choice: 'xml'"),
    (f"{PLAN} --seed -1", "argument --seed: must be a whole number"),
    (f"{PLAN} --seed x", "argument --seed: must be a whole number"),
    (f"{PLAN} --policy nobody", "policy 'nobody': neither a baseline"),
    (f"{PLAN} --policy loop", "policy 'loop': neither a baseline"),
    (f"{PLAN} --policy ''", "policy '': neither a baseline"),
    (f"{PLAN} --policy absent_module:P", "absent_module:P: no module absent_module"),
    (f"{PLAN} --usage absent", "cannot read absent: No such file"),
    (f"{PLAN} --usage empty", "cannot read empty: Is a directory"),
    (f"{PLAN} --usage file", "file, row 1: 'a,b' is not namespace, name, CPU and memory of a pod"),
    (f"{PLAN} --usage pipe", "cannot read pipe: it is a pipe"),
    (f"{PLAN} --usage zero", "cannot read zero: it is a device"),
    (f"{PLAN} --usage loop", "cannot read loop: Too many levels of symbolic links"),
    (f"{PLAN} extra", "unrecognized arguments: extra"),
    (f"{PLAN} --nothing", "unrecognized arguments: --nothing"),
    # evaluate --problem pod_migration
    ("evaluate --problem pod_migration", "arguments are required: --policy"),
    ("evaluate --problem pod_migration --policy nobody", "policy 'nobody': neither a baseline"),
    ("evaluate --problem pod_migration --policy nobody#3", "policy 'nobody': neither a baseline"),
    (f"{PODS}#x", "policy 'no-op#x': neither a baseline"),
    (f"{PODS} --cluster absent", "cluster 'absent': no such file"),
    (f"{PODS} --cluster empty", "cluster 'empty': no such file"),
    (f"{PODS} --cluster file", "file: must hold nodes and pods"),
    (f"{PODS} --cluster loop", "cluster 'loop': no such file"),
    (f"{PODS} --cluster pipe", "cluster 'pipe': no such file"),
    (f"{PODS} --cluster ~nosuchuser/x", "there is no home folder of that name"),
    (f"{PODS} --trace absent", "no trace at absent"),
    (f"{PODS} --trace pipe", "it is a pipe"),
    (f"{PODS} --trace zero", "it is a device"),
    (f"{PODS} --trace loop", "no trace at loop"),
    (f"{PODS} --trace file", "row 1: missing column"),
    (f"{PODS} --trace ~nosuchuser/x", "there is no home folder of that name"),
    (f"{PODS} --moves -1", "moves: must be greater than or equal to 1"),
    (f"{PODS} --moves x", "moves: must be a whole number"),
    (f"{PODS} --overload 2", "overload: must be less than or equal to 1"),
    (f"{PODS} --episodes 0", "argument --episodes: must be a whole number"),
    (f"{PODS} --split x", "argument --split: invalid choice"),
    (f"{PODS} --seed -1", "argument --seed: must be a whole number"),
    (f"{PODS} --servers 5", "unrecognized arguments: --servers 5"),
    (f"{PODS} --output file", "cannot write to file: Not a directory"),
    (f"{PODS} --output loop", "Too many levels of symbolic links"),
    (f"{PODS} --record loop", "Too many levels of symbolic links"),
    # serve
    ("serve", "arguments are required: NAME_OR_DIR"),
    ("serve nobody", "policy 'nobody': neither a heuristic"),
    ("serve loop", "policy 'loop': neither a heuristic"),
    ("serve ''", "policy '': neither a heuristic"),
    ("serve file", "no such file; a model folder holds model.json"),
    ("serve empty", "no such file; a model folder holds model.json"),
    ("serve absent_module:P", "absent_module:P: no module absent_module"),
    ("serve json:dumps", "policy json:dumps: needs to be a class with a method act(obser"),
    ("serve fgd --trace absent", "no trace at absent"),
    ("serve fgd --trace pipe", "it is a pipe"),
    ("serve fgd --trace loop", "no trace at loop"),
    (f"{SERVE} --port -1", "argument --port: must be a whole number from 0 to 65535"),
    (f"{SERVE} --port 99999", "argument --port: must be a whole number from 0 to 65535"),
    (f"{SERVE} --port x", "argument --port: must be a whole number"),
    (f"{SERVE} --replicas 0", "argument --replicas: must be a whole number from 1"),
    (f"{SERVE} --replicas x", "argument --replicas: must be"),
    (f"{SERVE} --max-body 0", "argument --max-body: must be a whole number from 1"),
    (f"{SERVE} --max-body x", "argument --max-body: must be"),
    (f"{SERVE} --node-cpu x", "argument --node-cpu: invalid float value: 'x'"),
    (f"{SERVE} --node-cpu nan", "node_cpu: nan is not allowed"),
    (f"{SERVE} --node-memory -1", "node_memory: -1.0 is not allowed"),
    (f"{SERVE} --double-memory-threshold -1", "double_memory_threshold: -1.0 is not allowed"),
    (f"{SERVE} --shadow empty", "empty: it is no regular file"),
    (f"{SERVE} --shadow file/x", "cannot write "),
    (f"{SERVE} --shadow loop/x", "cannot write "),
    (f"{SERVE} --shadow loop", "loop: it is no regular file"),
    (f"{SERVE} --shadow pipe", "pipe: it is no regular file"),
    (f"{SERVE} extra", "unrecognized arguments: extra"),
    # completion
    ("completion", "arguments are required: SHELL"),
    ("completion cobol", "argument SHELL: invalid choice: 'cobol'"),
    ("completion bash extra", "unrecognized arguments: extra"),
]


@pytest.mark.parametrize(("line", "expected"), TABLE, ids=[line[:70] for line, _ in TABLE])
def test_bad_command_line(refuse: Refuse, place: Path, line: str, expected: str) -> None:
    (place / "file").write_text("a,b\n1,2\n")
    (place / "empty").mkdir()
    (place / "loop").symlink_to("loop")
    (place / "zero").symlink_to("/dev/zero")
    os.mkfifo(place / "pipe")
    assert expected in refuse(*shlex.split(line))
