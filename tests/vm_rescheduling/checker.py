"""A second, plain way to replay plans, sharing no code with the package: dictionaries and loops."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any


class Checker:
    """A mapping in the published JSON form, on which moves are made one by one."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.free: list[list[list[int]]] = []  # machine, node, (cores, MB)
        hosts: dict[str, int] = {}
        self.vms: list[dict[int, tuple[int, int]]] = []  # node: (cores, MB)
        self.host: list[int] = []
        names: dict[str, int] = {}
        for cluster in document["cluster_list"]:
            for host in cluster["host_info"]:
                if host["status"] == "ACTIVE":
                    hosts[host["node_id"]] = len(self.free)
                    nodes = sorted(host["numa"], key=lambda node: node["node"])
                    self.free.append([[int(n["total_cpu"]), int(n["memory_huge_total_mb"])] for n in nodes])
        for cluster in document["cluster_list"]:
            for vm in cluster["vm_instance"]:
                names[vm["instance_id"]] = len(self.vms)
                parts = {n["node"]: (int(n["cpu"]), int(n["mem_mb"])) for n in vm["numa"]}
                self.vms.append(parts)
                self.host.append(hosts[vm["host_id"]])
                self._take(len(self.vms) - 1, 1)
        self.apart = [
            {names[name] for name in entry["data"]}
            for cluster in document["cluster_list"]
            for entry in cluster["other_requirement"]["deployment_set"]
        ]
        self.check()

    def _take(self, vm: int, sign: int) -> None:
        for node, (cores, memory) in self.vms[vm].items():
            self.free[self.host[vm]][node][0] -= sign * cores
            self.free[self.host[vm]][node][1] -= sign * memory

    def check(self) -> None:
        """Nothing is overfull, and no two VMs of a group are together."""
        assert all(amount >= 0 for machine in self.free for node in machine for amount in node)
        for group in self.apart:
            assert len({self.host[vm] for vm in group}) == len(group)

    def move(self, vm: int, start: list[Any], target: list[Any]) -> None:
        """Make a move of a plan file, which must be true and legal."""
        assert [self.host[vm], sorted(self.vms[vm])] == start
        assert start != target
        assert len(start[1]) == len(target[1])
        self._take(vm, -1)
        sizes = list(self.vms[vm].values())
        self.vms[vm] = dict(zip(target[1], sizes, strict=True))
        self.host[vm] = target[0]
        self._take(vm, 1)
        self.check()

    def fragment_rate(self, unit: int = 16) -> Fraction:
        """Sum of (f mod unit) over sum of f."""
        free = [node[0] for machine in self.free for node in machine]
        return Fraction(sum(cores % unit for cores in free), sum(free))

    def large_rate(self) -> Fraction:
        """The share of free cores outside slots of 64, half on each node."""
        total = sum(node[0] for machine in self.free for node in machine)
        slots = sum(min(machine[0][0], machine[1][0]) // 32 for machine in self.free)
        return Fraction(total - 64 * slots, total)

    def memory_rate(self) -> Fraction:
        """The same of memory in units of 32 GiB."""
        free = [node[1] for machine in self.free for node in machine]
        return Fraction(sum(memory % 32_768 for memory in free), sum(free))


def replay(document: dict[str, Any], plan_file: Path | str) -> Checker:
    """The mapping after the plan in a file (or its text)."""
    text = plan_file.read_text() if isinstance(plan_file, Path) else plan_file
    checker = Checker(document)
    for move in json.loads(text)["moves"]:
        checker.move(move["vm"], move["from"], move["to"])
    return checker
