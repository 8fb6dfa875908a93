"""The published JSON form of a mapping (ByteDance's rescheduling challenge, VMR2L).

    {"cluster_list": [{"cluster_name": ..., "host_info": [{"node_id", "status", "node_cpu", "node_mem_mb",
       "numa": [{"node", "total_cpu", "free_cpu", "memory_huge_total_mb", "memory_huge_free_mb"}, ...],
       "rack_id"}, ...], "vm_type_info": [...], "vm_instance": [{"instance_id", "instance_type", "host_id",
       "numa": [{"node", "cpu", "mem_mb"}, ...], "allow_migration"}, ...],
       "other_requirement": {"deployment_set": [{"granularity": "host", "data": [instance_id, ...]}, ...]}},
     ...], "vm_type_list": [...], "general_requirement": {...}}

Clusters are joined in the order of the file, and VMs may move between them. Hosts that are not ACTIVE are
left out. What is free is computed from the VMs; the stored `free_*` values are ignored. A deployment set of
the granularity "host" is an anti-affinity group.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from collections.abc import Mapping as Dictionary
from pathlib import Path
from typing import Any

import numpy as np

from spane_rllib.core.errors import UserError, one_line
from spane_rllib.core.files import replacing
from spane_rllib.core.reading import opened
from spane_rllib.problems.vm_rescheduling.mappings.mapping import NODES, Mapping

_LARGEST = 1 << 28  # bytes: of some 80,000 machines
_MOST = 10**9  # cores or MB of anything: products of these fit into 64 bits


def read_published(path: str | Path) -> Mapping:
    """The mapping in a JSON file, which may be compressed (.json.gz).

    Raises:
        UserError: names the host or the VM that is wrong.
    """
    file = Path(path)
    try:
        with opened(file) as stream:
            packed: Any = gzip.GzipFile(fileobj=stream) if file.suffix == ".gz" else stream
            content = packed.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise UserError(f"{file}: holds more than {_LARGEST:,} bytes; give a mapping of fewer machines")
        document = json.loads(content)
    except (ValueError, EOFError, RecursionError, zlib.error) as error:
        raise UserError(one_line(f"{file}: is not JSON: {error}")) from error
    return _Reader(str(file)).mapping(document, file.name.removesuffix(".gz").removesuffix(".json"))


class _Reader:
    """Reads one document; every error begins with the file and says what and where."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._place = ""

    def _error(self, text: str) -> UserError:
        return UserError(one_line(f"{self._file}: {self._place}{text}"))

    def _key(self, record: Any, key: str, kind: type, default: Any = None) -> Any:
        if not isinstance(record, dict):
            raise self._error(f"expected an object with {key!r}")
        value = record.get(key, default)
        if value is None:
            raise self._error(f"{key} is missing")
        if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
            raise self._error(f"{key} must be {_KINDS[kind]}, got {str(value)[:40]!r}")
        return value

    def _whole(self, record: Any, key: str, least: int) -> int:
        value = record.get(key) if isinstance(record, dict) else None
        # 16384.0 is what the published files have.
        whole = isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1
        if not whole or not least <= value <= _MOST:  # type: ignore[operator]
            raise self._error(f"{key} must be a whole number from {least:,}, got {str(value)[:40]!r}")
        return int(value)  # type: ignore[arg-type]

    def mapping(self, document: Any, name: str) -> Mapping:
        clusters = self._key(document, "cluster_list", list)
        hosts = [host for cluster in clusters for host in self._key(cluster, "host_info", list)]
        machines, known = self._machines(hosts)
        instances = [vm for cluster in clusters for vm in self._key(cluster, "vm_instance", list)]
        vms = list(self._vms(instances, machines, known))
        if not machines or not vms:
            raise self._error(f"has no {'VMs' if machines else 'host with the status ACTIVE'}")
        ids = {vm[0]: row for row, vm in enumerate(vms)}
        if len(ids) < len(vms):
            twice = next(vm[0] for row, vm in enumerate(vms) if ids[vm[0]] != row)
            raise self._error(f"VM {twice}: is there twice")
        group, group_ids = self._groups(clusters, ids)
        columns = list(zip(*vms, strict=True))
        capacity = np.array([capacity for capacity, _ in machines.values()], np.int64)
        return Mapping(
            name=name,
            machine_ids=tuple(machines),
            capacity_cores=capacity[:, :, 0].copy(),
            capacity_memory=capacity[:, :, 1].copy(),
            vm_ids=columns[0],
            vm_types=columns[1],
            cores=np.array(columns[2], np.int64),
            memory=np.array(columns[3], np.int64),
            double=np.array(columns[4], bool),
            machine=np.array(columns[5], np.int64),
            node=np.array(columns[6], np.int64),
            group=group,
            group_ids=group_ids,
        ).checked(self._file)

    def _machines(self, hosts: list[Any]) -> tuple[dict[str, tuple[list[list[int]], int]], set[str]]:
        """Capacity and number of each host in use, and the names of all hosts."""
        machines: dict[str, tuple[list[list[int]], int]] = {}
        known: set[str] = set()
        for row, host in enumerate(hosts):
            self._place = f"host number {row}: "
            name = self._key(host, "node_id", str)
            self._place = f"host {name}: "
            if name in known:
                raise self._error("is there twice")
            known.add(name)
            if self._key(host, "status", str) != "ACTIVE":
                continue
            capacity: list[list[int]] = [[], []]
            for node in self._key(host, "numa", list):
                number = self._whole(node, "node", 0)
                if number >= NODES or capacity[number]:
                    raise self._error("needs the NUMA nodes 0 and 1, each once")
                capacity[number] = [
                    self._whole(node, "total_cpu", 0),
                    self._whole(node, "memory_huge_total_mb", 0),
                ]
            if not all(capacity):
                raise self._error("needs the NUMA nodes 0 and 1, each once")
            machines[name] = capacity, len(machines)
        self._place = ""
        return machines, known

    def _vms(
        self, instances: list[Any], machines: Dictionary[str, tuple[list[list[int]], int]], known: set[str]
    ) -> Iterator[tuple[Any, ...]]:
        for row, vm in enumerate(instances):
            self._place = f"VM number {row}: "
            name = self._key(vm, "instance_id", str)
            self._place = f"VM {name}: "
            host = self._key(vm, "host_id", str)
            if host not in machines:
                reason = "is not ACTIVE" if host in known else "is not in the file"
                raise self._error(f"its host {host} {reason}")
            if not self._key(vm, "allow_migration", bool, True):
                raise self._error("allow_migration is false, which is not supported; every VM may migrate")
            nodes = self._key(vm, "numa", list)
            if not 1 <= len(nodes) <= NODES:
                raise self._error(f"needs one or two entries of numa, has {len(nodes)}")
            parts = [
                (self._whole(node, "node", 0), self._whole(node, "cpu", 1), self._whole(node, "mem_mb", 0))
                for node in nodes
            ]
            double = len(parts) == NODES
            if any(number >= NODES for number, _, _ in parts):
                raise self._error("node must be 0 or 1")
            if double and ({parts[0][0], parts[1][0]} != {0, 1} or parts[0][1:] != parts[1][1:]):
                raise self._error("needs equal halves on the NUMA nodes 0 and 1")
            yield (
                name,
                self._key(vm, "instance_type", str, ""),
                sum(cores for _, cores, _ in parts),
                sum(memory for _, _, memory in parts),
                double,
                machines[host][1],
                0 if double else parts[0][0],
            )
        self._place = ""

    def _groups(
        self, clusters: list[Any], ids: Dictionary[str, int]
    ) -> tuple[np.ndarray[Any, np.dtype[np.int64]], tuple[str, ...]]:
        group = np.full(len(ids), -1, np.int64)
        names: list[str] = []
        for cluster in clusters:
            requirement = self._key(cluster, "other_requirement", dict, {})
            for entry in self._key(requirement, "deployment_set", list, []):
                self._place = f"deployment set number {len(names)}: "
                if self._key(entry, "granularity", str) != "host":
                    raise self._error("only sets of the granularity host are supported")
                for vm in self._key(entry, "data", list):
                    if not isinstance(vm, str) or vm not in ids:
                        raise self._error(f"VM {vm} is not in the file")
                    if group[ids[vm]] >= 0:
                        raise self._error(f"VM {vm} is in another set already")
                    group[ids[vm]] = len(names)
                names.append(str(entry.get("name", f"group_{len(names)}")))
        self._place = ""
        return group, tuple(names)


_KINDS = {str: "text", list: "a list", bool: "true or false", dict: "an object"}


def write_published(mapping: Mapping, path: str | Path) -> None:
    """Write a mapping in the published form, as one cluster; compressed if the name ends in .gz."""
    document = json.dumps(published_document(mapping), separators=(",", ":"))
    with replacing(path) as temporary:
        if str(path).endswith(".gz"):
            temporary.write_bytes(gzip.compress(document.encode(), 9, mtime=0))
        else:
            temporary.write_text(document + "\n", encoding="utf-8")


def published_document(mapping: Mapping) -> dict[str, Any]:
    """The mapping as JSON values."""
    free_cores, free_memory = mapping.free_cores, mapping.free_memory
    hosts = [
        {
            "node_id": name,
            "status": "ACTIVE",
            "node_cpu": int(mapping.capacity_cores[row].sum()),
            "node_mem_mb": int(mapping.capacity_memory[row].sum()),
            "numa": [
                {
                    "node": node,
                    "total_cpu": int(mapping.capacity_cores[row, node]),
                    "free_cpu": int(free_cores[row, node]),
                    "memory_huge_total_mb": int(mapping.capacity_memory[row, node]),
                    "memory_huge_free_mb": int(free_memory[row, node]),
                }
                for node in range(NODES)
            ],
            "rack_id": 0,
        }
        for row, name in enumerate(mapping.machine_ids)
    ]
    instances = []
    for vm, name in enumerate(mapping.vm_ids):
        nodes = range(NODES) if mapping.double[vm] else [int(mapping.node[vm])]
        share = len(nodes)
        instances.append(
            {
                "instance_id": name,
                "instance_type": mapping.vm_types[vm],
                "host_id": mapping.machine_ids[mapping.machine[vm]],
                "numa": [
                    {
                        "node": node,
                        "cpu": int(mapping.cores[vm]) // share,
                        "mem_mb": int(mapping.memory[vm]) // share,
                    }
                    for node in nodes
                ],
                "allow_migration": True,
            }
        )
    sets = [
        {
            "granularity": "host",
            "name": name,
            "data": [mapping.vm_ids[vm] for vm in np.flatnonzero(mapping.group == number)],
        }
        for number, name in enumerate(mapping.group_ids)
    ]
    cluster = {
        "cluster_name": mapping.name,
        "host_info": hosts,
        "vm_type_info": [],
        "vm_instance": instances,
        "other_requirement": {"deployment_set": sets},
    }
    return {"cluster_list": [cluster], "vm_type_list": [], "general_requirement": {}}
