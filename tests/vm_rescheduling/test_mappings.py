"""Readers, writers and the generator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spane_rllib.core.errors import UserError
from spane_rllib.problems.vm_rescheduling.mappings.loading import Mappings, read_mapping, write_mapping
from spane_rllib.problems.vm_rescheduling.mappings.mapping import Mapping
from spane_rllib.problems.vm_rescheduling.mappings.published_format import published_document
from spane_rllib.problems.vm_rescheduling.mappings.synthetic import KINDS, generate


def equal(first: Mapping, second: Mapping) -> bool:
    names = ("machine_ids", "vm_ids", "vm_types")
    arrays = ("capacity_cores", "capacity_memory", "cores", "memory", "double", "machine", "node")
    groups = [[(*each.group_ids, "")[group] for group in each.group] for each in (first, second)]
    return (
        groups[0] == groups[1]
        and all(getattr(first, n) == getattr(second, n) for n in names)
        and all(np.array_equal(getattr(first, n), getattr(second, n)) for n in arrays)
    )


@pytest.mark.parametrize("end", ["json", "json.gz", "machines.csv", "machines.parquet"])
def test_written_and_read_again(end: str, tmp_path: Path) -> None:
    mapping = generate("affinity", 1, 12)
    write_mapping(mapping, tmp_path / f"a.{end}")
    assert equal(read_mapping(tmp_path / f"a.{end}"), mapping)


def test_published_maps() -> None:
    medium, large = read_mapping("medium@published"), read_mapping("large@published")
    assert (medium.machines, medium.vms, medium.free_cores.sum()) == (279, 2089, 1394)
    assert (large.machines, large.vms, large.free_cores.sum()) == (1176, 4546, 18_772)
    assert (medium.free_cores % 16).sum() / 1394 == pytest.approx(0.9770, abs=5e-5)
    assert (large.free_cores % 16).sum() / 18_772 == pytest.approx(0.6003, abs=5e-5)


def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(published_document(generate("affinity", 1, 4))))
    return found


def test_hosts_that_are_not_active_and_several_clusters(tmp_path: Path) -> None:
    made = document()
    cluster = made["cluster_list"][0]
    empty = {**cluster["host_info"][0], "node_id": "gone", "status": "DISABLED"}
    other = {"cluster_name": "b", "host_info": [empty], "vm_instance": cluster["vm_instance"][-1:]}
    cluster["vm_instance"] = cluster["vm_instance"][:-1]
    cluster["other_requirement"]["deployment_set"] = []
    cluster["host_info"][0]["numa"][0]["free_cpu"] = 1e9  # stored values of what is free are ignored
    made["cluster_list"].append(other)
    (tmp_path / "a.json").write_text(json.dumps(made))
    read = read_mapping(tmp_path / "a.json")
    original = generate("affinity", 1, 4)
    assert read.machine_ids == original.machine_ids
    assert np.array_equal(read.machine, original.machine)


def _vm(made: dict[str, Any]) -> dict[str, Any]:
    vm: dict[str, Any] = made["cluster_list"][0]["vm_instance"][3]
    return vm


def _host(made: dict[str, Any]) -> dict[str, Any]:
    host: dict[str, Any] = made["cluster_list"][0]["host_info"][2]
    return host


BROKEN = {
    "unknown host": (
        lambda d: _vm(d).update(host_id="nowhere"),
        "VM vm_3: its host nowhere is not in",
    ),
    "inactive host": (lambda d: _host(d).update(status="OUTAGE"), "its host pm_2 is not ACTIVE"),
    "three nodes": (
        lambda d: _vm(d).update(numa=[{}] * 3),
        "VM vm_3: needs one or two entries of numa",
    ),
    "fraction": (lambda d: _vm(d)["numa"][0].update(cpu=1.5), "VM vm_3: cpu must be a whole number from 1"),
    "no number": (lambda d: _vm(d)["numa"][0].update(mem_mb="x"), "VM vm_3: mem_mb must be a whole number"),
    "too many cores": (lambda d: _vm(d)["numa"][0].update(cpu=400), "host pm_0: the VMs on NUMA node"),
    "twice": (lambda d: _vm(d).update(instance_id="vm_0"), "VM vm_0: is there twice"),
    "host twice": (lambda d: _host(d).update(node_id="pm_0"), "host pm_0: is there twice"),
    "one node": (lambda d: _host(d)["numa"].pop(), "host pm_2: needs the NUMA nodes 0 and 1"),
    "pinned": (lambda d: _vm(d).update(allow_migration=False), "VM vm_3: allow_migration is false"),
    "no id": (lambda d: _vm(d).pop("instance_id"), "VM number 3: instance_id is missing"),
    "no list": (lambda d: d.update(cluster_list=7), "cluster_list must be a list"),
    "halves": (
        lambda d: _vm(d).update(numa=[{"node": node, "cpu": 2 + node, "mem_mb": 1} for node in (0, 1)]),
        "VM vm_3: needs equal halves",
    ),
    "unknown member": (
        lambda d: d["cluster_list"][0]["other_requirement"]["deployment_set"][0].update(data=["who"]),
        "deployment set number 0: VM who is not in the file",
    ),
    "together": (
        lambda d: d["cluster_list"][0]["other_requirement"].update(
            deployment_set=[{"granularity": "host", "name": "g", "data": ["vm_0", "vm_1"]}]
        ),
        "VM vm_1: is on host pm_0 with VM vm_0 of its group g",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_is_named(case: str, tmp_path: Path) -> None:
    made = document()
    change, message = BROKEN[case]
    change(made)
    file = tmp_path / "broken.json"
    file.write_text(json.dumps(made))
    with pytest.raises(UserError) as caught:
        read_mapping(file)
    assert message in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[1", b"[1]", b"{}", b'{"cluster_list": []}', b"\xff", b"\x1f"])
@pytest.mark.parametrize("end", ["json", "json.gz", "machines.csv", "machines.parquet"])
def test_damaged_files_are_refused(content: bytes, end: str, tmp_path: Path) -> None:
    file = tmp_path / f"a.{end}"
    file.write_bytes(content)
    with pytest.raises(UserError):
        read_mapping(file)


def test_broken_tables(tmp_path: Path) -> None:
    mapping = generate("high", 1, 4)
    write_mapping(mapping, tmp_path / "a.machines.csv")
    vms = (tmp_path / "a.vms.csv").read_text()
    (tmp_path / "a.vms.csv").write_text(vms.replace(",pm_1,", ",pm_9,", 1))
    with pytest.raises(UserError, match="its machine pm_9 is not in"):
        read_mapping(tmp_path / "a.machines.csv")
    (tmp_path / "a.vms.csv").write_text(vms.replace("cores", "kores", 1))
    with pytest.raises(UserError, match="no column cores; there are"):
        read_mapping(tmp_path / "a.machines.csv")


def test_folders_and_names(tmp_path: Path) -> None:
    for name in ("train/flex_vm_1.json", "test/flex_vm_2.json", "test/flex_vm_3.json"):
        write_mapping(generate("high", 1, 4), tmp_path / name)
    maps = Mappings(str(tmp_path))
    assert [maps.name(number) for number in maps.numbers("test")] == ["flex_vm_2", "flex_vm_3"]
    assert len(maps.numbers("train")) == 1
    assert maps.sha256 == Mappings(str(tmp_path)).sha256
    with pytest.raises(UserError, match="neither a kind"):
        Mappings("hihg")
    with pytest.raises(UserError, match="only synthetic"):
        Mappings("medium@published", 5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_generator_is_decided_by_the_number(kind: str) -> None:
    assert equal(generate(kind, 3, 14), generate(kind, 3, 14))
    assert not equal(generate(kind, 3, 14), generate(kind, 4, 14))
    generate(kind, 3, 14).checked()


def test_the_generator_resembles_what_is_published() -> None:
    """Bounds around the published figures; docs/vm_rescheduling.md has the measured ones."""
    maps = [generate("high", number) for number in range(6200, 6204)]
    rates, used = [], []
    for mapping in maps:
        free = mapping.free_cores
        assert 2280 <= free.sum() <= 2620
        assert mapping.vms <= 2089
        rates.append((free % 16).sum() / free.sum())
        used.append(1 - free.sum(axis=1) / 88)
    assert np.mean(rates) == pytest.approx(0.555, abs=0.05)
    assert np.mean(np.concatenate(used) > 0.8) == pytest.approx(0.8144, abs=0.05)
    small = np.concatenate([mapping.cores <= 16 for mapping in maps])
    assert small.mean() == pytest.approx(0.8827, abs=0.02)
