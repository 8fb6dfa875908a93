"""Mappings, plans and command lines of VM rescheduling that cannot be, with pipes, devices and links."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from refusals import Refuse

from spane_rllib.problems.vm_rescheduling.mappings.loading import write_mapping
from spane_rllib.problems.vm_rescheduling.mappings.synthetic import generate

PLAN = "plan a.json"
EVALUATE = "evaluate --problem vm_rescheduling --policy ha"
LONG = "x" * 300
ENDS = "must end in .json, .json.gz, .machines.csv, .machines.parquet"
PLANNER = "neither a planner (search, ha, "
OBJECTIVE = "must be fr16 (or another number of cores), mix:SHARE or memory:SHARE"
TABLE = [
    # where a mapping is
    ("plan", "arguments are required: MAPPING"),
    ("plan absent", f"mapping absent: {ENDS}"),
    ("plan medium@publishd", f"mapping medium@publishd: {ENDS}"),
    ("plan empty", f"mapping empty: {ENDS}"),
    ("plan ''", f"mapping : {ENDS}"),
    (f"plan {LONG}.json", "File name too long"),
    *(
        (f"plan {name}{end}", expected)
        for end in (".json", ".json.gz", ".machines.csv", ".machines.parquet")
        for name, expected in (
            ("absent", f"cannot read absent{end}: No such file"),
            ("loop", f"cannot read loop{end}: Too many levels of symbolic links"),
            ("pipe", f"cannot read pipe{end}: it is a pipe"),
            ("zero", f"cannot read zero{end}: it is a device"),
            ("empty", f"cannot read empty{end}: Is a directory"),
        )
    ),
    ("plan b.machines.csv", "cannot read b.vms.csv: it is a pipe"),
    ("plan c.machines.csv", "cannot read c.vms.csv: No such file"),
    # plan
    (f"{PLAN} --migrations 0", "argument --migrations: must be a whole number from 1"),
    (f"{PLAN} --migrations x", "argument --migrations: must be a whole number"),
    (f"{PLAN} --migrations 1e9", "argument --migrations: must be a whole number"),
    *((f"{PLAN} --seconds {text}", "must be a number of seconds above 0") for text in ("0", "nan", "inf")),
    *((f"{PLAN} --goal {text}", "argument --goal: must be a rate from 0 to 1") for text in ("2", "nan", "x")),
    (f"{PLAN} --seed -1", "argument --seed: must be a whole number"),
    (f"{PLAN} --planner nobody", f"policy 'nobody': {PLANNER}"),
    (f"{PLAN} --planner ''", f"policy '': {PLANNER}"),
    (f"{PLAN} --planner loop", f"policy 'loop': {PLANNER}"),
    (f"{PLAN} --planner spane@pretrained", f"policy 'spane@pretrained': {PLANNER}"),
    (f"{PLAN} --planner empty", "empty/model.json: no such file"),
    (f"{PLAN} --planner file", "file/model.json: no such file"),
    (f"{PLAN} --planner absent_module:P", "absent_module:P: no module absent_module"),
    (f"{PLAN} --planner json:dumps", "policy json:dumps: needs to be a class"),
    *(
        (f"{PLAN} --objective {text or repr(text)}", f"objective '{text}': {OBJECTIVE}")
        for text in ("fr", "fr0", "fr-1", "fr99999999999999999999", "mix:2", "mix:nan", "memory:-1", "")
    ),
    (f"{PLAN} --output {LONG}", "File name too long"),
    (f"{PLAN} --output loop", "loop: it is no regular file"),
    (f"{PLAN} --output empty", "empty: it is no regular file"),
    (f"{PLAN} --output pipe", "pipe: it is no regular file"),
    (f"{PLAN} --output ''", ".: it is no regular file"),
    (f"{PLAN} --output file/x", "cannot write "),
    (f"{PLAN} --output loop/x", "cannot write "),
    (f"{PLAN} extra", "unrecognized arguments: extra"),
    ("plan --problem pod_migration published --output empty", "empty: it is no regular file"),
    ("data synthesize empty.csv --vms 10", "empty.csv: it is no regular file"),
    ("data convert file loop.csv", "loop.csv: it is no regular file"),
    ("view file --export empty.html", "empty.html: it is no regular file"),
    # evaluate, compare
    ("evaluate --problem vm_rescheduling --policy nobody", f"policy 'nobody': {PLANNER}"),
    ("evaluate --problem vm_rescheduling --policy loop", f"policy 'loop': {PLANNER}"),
    ("evaluate --problem vm_rescheduling --policy ''", f"policy '': {PLANNER}"),
    (f"{EVALUATE} --mapping absent", "mappings absent: neither a kind"),
    (f"{EVALUATE} --mapping loop", "mappings loop: neither a kind"),
    (f"{EVALUATE} --mapping hihg", "mappings hihg: neither a kind"),
    (f"{EVALUATE} --mapping ~nosuchuser/x", "mappings ~nosuchuser/x: neither a kind"),
    (f"{EVALUATE} --mapping {LONG}", "File name too long"),
    (f"{EVALUATE} --mapping ''", "mappings: must be a path"),
    (f"{EVALUATE} --mapping empty", "mappings empty: no file in the folder ends in .json"),
    (f"{EVALUATE} --mapping file", f"mappings file: the name of the file {ENDS}"),
    (f"{EVALUATE} --mapping pipe.json", "cannot read pipe.json: it is a pipe"),
    (f"{EVALUATE} --mapping pipe.machines.csv", "cannot read pipe.machines.csv: it is a pipe"),
    (f"{EVALUATE} --mapping a.json --machines 5", "machines: only synthetic mappings have any number"),
    (f"{EVALUATE} --machines 1", "argument --machines: must be a whole number from 2"),
    (f"{EVALUATE} --maps 0", "argument --maps: must be a whole number from 1"),
    (f"{EVALUATE} --split x", "argument --split: invalid choice"),
    (f"{EVALUATE} --migrations 0", "argument --migrations: must be a whole number"),
    (f"{EVALUATE} --migrations", "argument --migrations: expected at least one argument"),
    (f"{EVALUATE} --seconds x", "argument --seconds: must be a number of seconds"),
    (f"{EVALUATE} --objective fr0", f"objective 'fr0': {OBJECTIVE}"),
    (f"{EVALUATE} --seed -1", "argument --seed: must be a whole number"),
    (f"{EVALUATE} --servers 5", "unrecognized arguments: --servers 5"),
    (f"{EVALUATE} --output file", "cannot write to file: Not a directory"),
    (f"{EVALUATE} --output loop", "Too many levels of symbolic links"),
    (f"{EVALUATE} --record loop", "Too many levels of symbolic links"),
    ("compare --problem vm_rescheduling ha nobody", f"policy 'nobody': {PLANNER}"),
    ("compare --problem vm_rescheduling ha mip --mapping absent", "mappings absent: neither a kind"),
    # tune
    ("tune vm_rescheduling --set mappings=absent", "mappings absent: neither a kind"),
    ("tune vm_rescheduling --set mappings=empty", "mappings empty: no file in the folder"),
    ("tune vm_rescheduling --set mappings=a.json", "machines: only synthetic mappings have any number"),
    ("tune vm_rescheduling --set machines=1", "machines: must be greater than or equal to 2, got 1"),
    ("tune vm_rescheduling --set migrations=0", "migrations: must be greater than or equal to 1"),
    ("tune vm_rescheduling --set objective=fr0", f"objective 'fr0': {OBJECTIVE}"),
    ("tune vm_rescheduling --set evaluation.heuristics=[nobody]", "'nobody' is unknown; allowed: search"),
    ("tune vm_rescheduling --set evaluation.migration_limit=[5,5]", "must not repeat an item"),
    ("tune vm_rescheduling --set evaluation.seconds=0", "evaluation.seconds: must be greater than 0"),
    ("tune vm_rescheduling --from absent", "absent/model.json: no such file"),
]


@pytest.fixture
def stocked(place: Path) -> Path:
    """A working directory with a mapping and with files of the wrong kind."""
    write_mapping(generate("high", 1, 4), place / "a.json")
    write_mapping(generate("high", 1, 4), place / "a.machines.csv")
    for name in ("b.machines.csv", "c.machines.csv"):
        (place / name).write_bytes((place / "a.machines.csv").read_bytes())
    os.mkfifo(place / "b.vms.csv")
    (place / "file").write_text("a,b\n1,2\n")
    for end in ("", ".json", ".json.gz", ".machines.csv", ".machines.parquet", ".csv", ".html"):
        (place / f"empty{end}").mkdir()
        (place / f"loop{end}").symlink_to(f"loop{end}")
        (place / f"zero{end}").symlink_to("/dev/zero")
        os.mkfifo(place / f"pipe{end}")
    return place


@pytest.mark.usefixtures("stocked")
@pytest.mark.parametrize(("line", "expected"), TABLE, ids=[line[:70] for line, _ in TABLE])
def test_bad_command_line(refuse: Refuse, line: str, expected: str) -> None:
    assert expected in refuse(*shlex.split(line))


def vm(document: Any) -> dict[str, Any]:
    return document["cluster_list"][0]["vm_instance"][3]


def requirement(value: Any) -> Callable[[Any], None]:
    return lambda document: document["cluster_list"][0].update(other_requirement=value)


def cores(value: Any) -> Callable[[Any], None]:
    return lambda document: vm(document)["numa"][0].update(cpu=value)


DOCUMENTS: dict[str, tuple[Callable[[Any], None], str]] = {
    "clusters are numbers": (lambda d: d.update(cluster_list=[5]), "expected an object with 'host_info'"),
    "a cluster of nothing": (lambda d: d.update(cluster_list=[{}]), "host_info is missing"),
    "hosts are numbers": (
        lambda d: d["cluster_list"][0].update(host_info=[5]),
        "host number 0: expected an object with 'node_id'",
    ),
    "VMs are lists": (
        lambda d: d["cluster_list"][0].update(vm_instance=[[]]),
        "VM number 0: expected an object with 'instance_id'",
    ),
    "no VMs": (lambda d: d["cluster_list"][0].update(vm_instance=[]), "has no VMs"),
    "an id is a number": (lambda d: vm(d).update(instance_id=5), "instance_id must be text, got '5'"),
    "a host is a list": (lambda d: vm(d).update(host_id=["pm_0"]), "VM vm_3: host_id must be text"),
    "an id of two lines": (lambda d: vm(d).update(instance_id="a\nb", host_id="x"), "its host x is not in"),
    "nodes are numbers": (lambda d: vm(d).update(numa=[5]), "VM vm_3: node must be a whole number from 0"),
    "half a machine is everything": (lambda d: vm(d).update(numa=None), "VM vm_3: numa is missing"),
    "infinite cores": (cores(float("inf")), "cpu must be a whole number from 1, got 'inf'"),
    "cores that are no number": (cores(float("nan")), "cpu must be a whole number from 1, got 'nan'"),
    "true cores": (cores(True), "cpu must be a whole number from 1, got 'True'"),
    "very many cores": (cores(10**40), "cpu must be a whole number from 1, got '1000"),
    "more cores than anybody has": (cores(1e300), "cpu must be a whole number from 1, got '1e+300'"),
    "requirements are a list": (requirement([1]), "other_requirement must be an object"),
    "requirements are null": (requirement(None), "other_requirement is missing"),
    "sets are a number": (requirement({"deployment_set": 5}), "deployment_set must be a list, got '5'"),
    "a set is a number": (requirement({"deployment_set": [5]}), "expected an object with 'granularity'"),
    "a set of racks": (
        requirement({"deployment_set": [{"granularity": "rack", "data": []}]}),
        "only sets of the granularity host",
    ),
    "members are lists": (
        requirement({"deployment_set": [{"granularity": "host", "data": [["vm_0"]]}]}),
        "VM ['vm_0'] is not in the file",
    ),
    "members are numbers": (
        requirement({"deployment_set": [{"granularity": "host", "data": [0.5]}]}),
        "VM 0.5 is not in the file",
    ),
}


@pytest.mark.parametrize(("change", "expected"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_bad_document(refuse: Refuse, place: Path, change: Callable[[Any], None], expected: str) -> None:
    write_mapping(generate("high", 1, 4), place / "a.json")
    document = json.loads((place / "a.json").read_text())
    change(document)
    (place / "a.json").write_text(json.dumps(document))
    line = refuse("plan", "a.json")
    assert expected in line and "a.json" in line


MACHINES = "machine,cores_0,cores_1,memory_0,memory_1\n"
HOST = "pm_0,44,44,1000,1000\n"
VMS = "vm,type,cores,memory,machine,node,group\n"
TABLES: dict[str, tuple[str | bytes, str, str]] = {
    "no machines": (MACHINES, VMS + "a,,1,1,pm_0,0,\n", "no rows"),
    "no VMs": (MACHINES + HOST, VMS, "no rows"),
    "nothing": ("", VMS, "is empty"),
    "a picture": (b"\x89PNG\r\n\x1a\n\x00\x00", VMS, "is a binary file"),
    "no memory": ("machine,cores_0,cores_1\npm_0,44,44\n", VMS + "a,,1,1,pm_0,0,\n", "no column memory_0"),
    "a machine twice": (MACHINES + 2 * HOST, VMS + "a,,1,1,pm_0,0,\n", "row 3: machine pm_0 is there twice"),
    "a VM twice": (MACHINES + HOST, VMS + 2 * "a,,1,1,pm_0,0,\n", "row 3: vm a is there twice"),
    "a short row": (MACHINES + HOST, VMS + "a,,1\n", "row 2: must have 7 values, got 3"),
    "a gap": (MACHINES + HOST, VMS + "a,,,1,pm_0,0,\n", "row 2: cores must be a number of at least 1"),
    "half a core": (MACHINES + HOST, VMS + "a,,1.5,1,pm_0,0,\n", "row 2: cores must be a whole number"),
    "no cores": (MACHINES + HOST, VMS + "a,,0,1,pm_0,0,\n", "row 2: cores must be a number of at least 1"),
    "infinity": (MACHINES + HOST, VMS + "a,,inf,1,pm_0,0,\n", "row 2: cores must be a number"),
    "no number": (MACHINES + HOST, VMS + "a,,1,nan,pm_0,0,\n", "row 2: memory must be a number"),
    "a third node": (MACHINES + HOST, VMS + "a,,1,1,pm_0,2,\n", "VM a: node must be 0, 1 or -1, got 2"),
    "an odd double VM": (MACHINES + HOST, VMS + "a,,3,2,pm_0,-1,\n", "VM a: is on both nodes, but is not"),
    "another machine": (MACHINES + HOST, VMS + "a,,1,1,pm_1,0,\n", "VM a: its machine pm_1 is not in"),
    "more than fits": (MACHINES + HOST, VMS + "a,,45,1,pm_0,0,\n", "host pm_0: the VMs on NUMA node 0 need"),
    "too close": (
        MACHINES + HOST,
        VMS + "a,,1,1,pm_0,0,g\nb,,1,1,pm_0,0,g\n",
        "VM b: is on host pm_0 with VM a of its group g",
    ),
    "control characters": (MACHINES + HOST, VMS + "a,,\x1b[2J,1,pm_0,0,\n", "row 2: cores must be a number"),
}


@pytest.mark.parametrize(("machines", "vms", "expected"), TABLES.values(), ids=TABLES)
def test_bad_tables(refuse: Refuse, place: Path, machines: str | bytes, vms: str, expected: str) -> None:
    (place / "a.machines.csv").write_bytes(machines.encode() if isinstance(machines, str) else machines)
    (place / "a.vms.csv").write_text(vms)
    assert expected in refuse("plan", "a.machines.csv")
