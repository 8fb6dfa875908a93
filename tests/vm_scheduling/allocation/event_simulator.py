"""The allocations objective once more, slow and plain, walking through the events of a file one by one."""

from __future__ import annotations

from allocation_cases import Event

from spane_rllib.problems.vm_scheduling.allocations.scenario import AllocationScenario


class EventSimulator:
    """One episode from the first creation at or after event `start`."""

    def __init__(self, events: list[Event], scenario: AllocationScenario, start: int) -> None:
        self.events, self.scenario = events, scenario
        self.capacity = [
            (group.node_cpu, group.node_memory)
            for group in scenario.server_groups
            for _ in range(group.count)
        ]
        self.free = [[list(size), list(size)] for size in self.capacity]
        self.held: dict[int, tuple[int, list[int], float, float]] = {}
        self.last = max(i for i, event in enumerate(events) if event[4] == 0)
        self.allocations, self.expansions, self.server_seconds = 0, 0, 0.0
        self.at = start
        while events[self.at][4] == 1:
            self.at += 1
        self.begun = self.now = events[self.at][3]
        self.ended_by = ""
        self._look()

    def _need(self) -> tuple[float, float, bool]:
        _, cpu, memory, _, _ = self.events[self.at]
        rule = self.scenario.double
        if rule.memory_above is not None:
            double = memory > rule.memory_above
        elif rule.cpu_above is not None:
            double = cpu > rule.cpu_above
        else:
            double = cpu >= rule.cpu_at_least
        return (cpu / 2, memory / 2, True) if double else (cpu, memory, False)

    def feasible(self) -> list[int]:
        """The slots where the VM at hand fits."""
        cpu, memory, double = self._need()
        slots = []
        for server, nodes in enumerate(self.free):
            fits = [free[0] >= cpu and free[1] >= memory for free in nodes]
            if double:
                fits = [all(fits)] * 2
            slots += [2 * server + node for node in range(2) if fits[node]]
        return slots

    def rates(self) -> list[float]:
        """Used shares of cpu and of memory."""
        shares = []
        for resource in (0, 1):
            total = sum(2 * size[resource] for size in self.capacity)
            free = sum(node[resource] for nodes in self.free for node in nodes)
            shares.append((total - free) / total)
        return shares

    def best_fit_vmagent(self) -> int:
        """The slot VMAgent's BestFit takes."""
        cpu, memory, double = self._need()
        best, most = -1, -1.0
        for slot in self.feasible():
            if double and slot % 2:
                continue
            size, free = self.capacity[slot // 2], self.free[slot // 2][slot % 2]
            left = min((free[0] - cpu) / size[0], (free[1] - memory) / size[1])
            if left > most:
                best, most = slot, left
        return best

    def place(self, slot: int) -> None:
        """Place the VM at hand and go to the next creation."""
        cpu, memory, double = self._need()
        nodes = [0, 1] if double else [slot % 2]
        self._change(slot // 2, nodes, -cpu, -memory)
        self.held[self.events[self.at][0]] = (slot // 2, nodes, cpu, memory)
        self.allocations += 1
        growth = self.scenario.growth
        if growth and max(self.rates()) >= growth.used_threshold:
            self._grow()
        self.at += 1
        while self.events[self.at][4] == 1:
            held = self.held.pop(self.events[self.at][0], None)
            if held is not None and self.scenario.deletions:
                self._change(*held)
            self.at += 1
        self._look()

    def _look(self) -> None:
        time = self.events[self.at][3]
        self.server_seconds += len(self.capacity) * (time - self.now)
        self.now = time
        if self.at == self.last:
            self.ended_by = "trace"
            return
        if not self.feasible() and self.scenario.growth:
            self._grow()
        if not self.feasible():
            self.ended_by = "full"
        elif self.allocations == self.scenario.max_decisions:
            self.ended_by = "cap"

    def _change(self, server: int, nodes: list[int], cpu: float, memory: float) -> None:
        for node in nodes:
            self.free[server][node][0] += cpu
            self.free[server][node][1] += memory

    def _grow(self) -> None:
        growth = self.scenario.growth
        assert growth is not None
        added = min(growth.servers, growth.max_servers - len(self.capacity))
        self.expansions += added > 0
        for _ in range(added):
            size = self.capacity[-1]
            self.capacity.append(size)
            self.free.append([list(size), list(size)])
