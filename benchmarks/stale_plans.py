"""What is left of a plan when VMs come and go before it is carried out, as a Markdown table.

    python -m benchmarks.stale_plans [--maps 20] [--planner search ...] [--rate CHANGES_PER_SECOND ...]

Every planner plans 50 migrations for the same test maps `high`. Then VMs end (any, each as likely) and
begin (of the map's sizes, on the tighter of two random places with room, as the maps themselves are made),
in turn, and the migrations that are still legal are made in order. At one change a second a good plan loses
about as much as is published (EuroSys 2025: of the gain in fragment rate 93 % are left after 20 s, 77 % after
a minute, 22 % after five). Needs no data.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from spane_rllib.core.console import Progress, format_table
from spane_rllib.problems.vm_rescheduling.mappings.mapping import Mapping
from spane_rllib.problems.vm_rescheduling.mappings.synthetic import SPLITS, generate
from spane_rllib.problems.vm_rescheduling.planners.names import planner
from spane_rllib.problems.vm_rescheduling.planners.planner import Request
from spane_rllib.problems.vm_rescheduling.policies import warm_up
from spane_rllib.problems.vm_rescheduling.problem import PLANNERS
from spane_rllib.problems.vm_rescheduling.simulator.simulation import Plan, Simulation

DELAYS = (1, 5, 20, 30, 60, 300)
_PLACES = 2  # that an arriving VM chooses between


def changed(mapping: Mapping, changes: int, random: np.random.Generator) -> tuple[Mapping, np.ndarray]:
    """The mapping after so many departures and arrivals in turn.

    Returns:
        the mapping, and (V,) the index in it of each VM that there was, -1 where it ended.
    """
    vms = mapping.vms
    kind, machine, node = list(range(vms)), mapping.machine.tolist(), mapping.node.tolist()
    cores, memory = mapping.free_cores, mapping.free_memory
    share = 1 + mapping.double
    need, megabytes = mapping.cores // share, mapping.memory // share
    here = list(range(vms))

    def take(entry: int, sign: int) -> None:
        nodes = slice(None) if mapping.double[kind[entry]] else node[entry]
        cores[machine[entry], nodes] -= sign * need[kind[entry]]
        memory[machine[entry], nodes] -= sign * megabytes[kind[entry]]

    for change in range(changes):
        if change % 2 == 0:
            take(here.pop(int(random.integers(len(here)))), -1)
            continue
        vm = int(random.integers(vms))
        room = (cores >= need[vm]) & (memory >= megabytes[vm])
        if mapping.double[vm]:
            room = room.all(axis=1, keepdims=True) & [True, False]
        places = np.argwhere(room)
        if not len(places):
            continue  # it finds no room in this region
        drawn = places[random.integers(len(places), size=_PLACES)]
        left = cores[drawn[:, 0]].sum(axis=1) if mapping.double[vm] else cores[drawn[:, 0], drawn[:, 1]]
        place = drawn[int(left.argmin())]
        kind.append(vm)
        machine.append(int(place[0]))
        node.append(int(place[1]))
        here.append(len(kind) - 1)
        take(here[-1], 1)
    kept = np.array([entry for entry in here if entry < vms], np.int64)
    new = [entry for entry in here if entry >= vms]
    order = np.concatenate([kept, np.array(new, np.int64)])
    kinds = np.array(kind, np.int64)[order]
    index = np.full(vms, -1, np.int64)
    index[kept] = np.arange(len(kept))
    return (
        replace(
            mapping,
            vm_ids=tuple(f"vm_{entry}" for entry in order.tolist()),
            vm_types=tuple(mapping.vm_types[vm] for vm in kinds.tolist()),
            cores=mapping.cores[kinds],
            memory=mapping.memory[kinds],
            double=mapping.double[kinds],
            machine=np.array(machine, np.int64)[order],
            node=np.array(node, np.int64)[order],
            group=np.full(len(order), -1, np.int64),
        ).checked(),
        index,
    )


def carried_out(plan: Plan, mapping: Mapping, index: np.ndarray) -> tuple[int, float, float]:
    """Make the migrations that are legal: how many, and the fragment rate before and after them."""
    simulation = Simulation(mapping)
    before, made = simulation.value, 0
    for vm, machine, node in plan.tolist():
        if index[vm] >= 0:
            try:
                simulation.migrate(int(index[vm]), machine, node)
            except ValueError:
                continue
            made += 1
    return made, before, simulation.value


def main() -> None:
    """Plan, let VMs come and go, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--maps", type=int, default=20, metavar="K", help="test maps (20)")
    parser.add_argument(
        "--planner", nargs="+", default=list(PLANNERS), choices=PLANNERS, metavar="NAME", help="planners"
    )
    parser.add_argument("--seconds", type=float, default=5.0, metavar="S", help="time of a plan (5)")
    parser.add_argument(
        "--rate",
        type=float,
        nargs="+",
        default=[1.0],
        metavar="R",
        help="departures and arrivals a second (1)",
    )
    arguments = parser.parse_args()
    first = SPLITS["test"][0]
    maps = [generate("high", number) for number in range(first, first + arguments.maps)]
    rows = []
    progress = Progress("stale plans", len(arguments.planner) * len(maps), "plans")
    for count, name in enumerate(arguments.planner):
        warm_up(name)
        plans = []
        for number, mapping in enumerate(maps, start=1):
            plans.append(planner(name)(Request(mapping, 50, arguments.seconds)).plan)
            progress.update(count * len(maps) + number, name)
        for rate in arguments.rate:
            fresh = np.nan
            for delay in (0, *DELAYS):
                results = []
                for number, (mapping, plan) in enumerate(zip(maps, plans, strict=True)):
                    random = np.random.default_rng([number, delay])
                    later, index = changed(mapping, round(rate * delay), random)
                    results.append((len(plan), *carried_out(plan, later, index)))
                planned, made, before, after = np.mean(results, axis=0)
                fresh = before - after if delay == 0 else fresh
                legal = f"{made / planned:.1%}" if planned else "-"
                left = f"{(before - after) / fresh:.0%}" if fresh > 0.001 else "-"
                rows.append([name, f"{rate:g}", str(delay), legal, f"{before:.3f}", f"{after:.3f}", left])
    columns = [
        "planner",
        "changes/s",
        "delay (s)",
        "still legal",
        "fragment rate before",
        "after",
        "gain left",
    ]
    print(format_table(columns, rows))


if __name__ == "__main__":
    main()
