"""Plans as JSON: for people who carry them out, and for programs that check them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from spane_rllib.core.errors import UserError
from spane_rllib.problems.vm_rescheduling.mappings.mapping import Mapping
from spane_rllib.problems.vm_rescheduling.simulator.simulation import Plan

_NONE = "-"


def plan_moves(mapping: Mapping, plan: Plan) -> list[dict[str, Any]]:
    """`{"vm": index, "from": [pm, [numa, ...]], "to": [pm, [numa, ...]]}` of every move, in order; indices
    are those of active hosts and of VMs in the order of the file."""
    machine, node = mapping.machine.copy(), mapping.node.copy()
    moves = []
    for vm, target, target_node in plan.tolist():
        double = bool(mapping.double[vm])
        moves.append(
            {
                "vm": vm,
                "from": [int(machine[vm]), [0, 1] if double else [int(node[vm])]],
                "to": [target, [0, 1] if double else [target_node]],
            }
        )
        machine[vm], node[vm] = target, target_node
    return moves


def indexed_document(mapping: Mapping, plan: Plan) -> str:
    """`{"moves": [...]}` as text."""
    return json.dumps({"moves": plan_moves(mapping, plan)}) + "\n"


def named_moves(mapping: Mapping, plan: Plan) -> list[dict[str, Any]]:
    """The moves with the ids of VMs and hosts."""
    hosts = mapping.machine_ids
    return [
        {
            "vm": mapping.vm_ids[move["vm"]],
            "type": mapping.vm_types[move["vm"]],
            "memory_mb": int(mapping.memory[move["vm"]]),
            "from": {"host": hosts[move["from"][0]], "numa": move["from"][1]},
            "to": {"host": hosts[move["to"][0]], "numa": move["to"][1]},
        }
        for move in plan_moves(mapping, plan)
    ]


def encode(plan: Plan) -> str:
    """A plan in a cell of a table: `vm:machine:node` of every move, and a dash for none."""
    return " ".join(":".join(map(str, move)) for move in plan.tolist()) or _NONE


def decode(text: str) -> Plan:
    """The plan that `encode` has written."""
    try:
        moves = [] if text == _NONE else [[int(part) for part in move.split(":")] for move in text.split()]
        return np.array(moves, np.int64).reshape(-1, 3)
    except ValueError as error:
        raise UserError(f"moves {text[:60]!r}: not a plan; delete the file, and it is made again") from error
