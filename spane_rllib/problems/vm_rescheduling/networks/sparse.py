"""The sparse network of VMR2L: attention along the tree of machines and their VMs.

A VM attends to its machine and to the other VMs there, not to all VMs, so that a mapping of V VMs costs V
and not V squared. Sums over the VMs of a machine are scattered, and no (V, V) matrix is made.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from spane_rllib.learning.tensors import Tensors
from spane_rllib.problems.vm_rescheduling.environment.observing import MACHINE_COLUMNS, OWN_COLUMNS
from spane_rllib.problems.vm_rescheduling.networks.attention import with_host
from spane_rllib.problems.vm_rescheduling.networks.masks import of_chosen
from spane_rllib.problems.vm_rescheduling.networks.two_stage import TwoStagePolicy


def _feed_forward(inputs: int, units: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, units), nn.GELU(), nn.Linear(units, outputs))


class _TreeBlock(nn.Module):
    """One block: within each machine's tree, between machines, and from machines to VMs; residual, norm
    first.

    Args:
        width, heads, feed_forward: see `AttentionOptions`.
    """

    def __init__(self, width: int, heads: int, feed_forward: int) -> None:
        super().__init__()
        self._heads = heads
        self.machine_norm, self.vm_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.machine_qkv, self.vm_qkv = nn.Linear(width, 3 * width), nn.Linear(width, 3 * width)
        self.machine_out, self.vm_out = nn.Linear(width, width), nn.Linear(width, width)
        self.between_norm = nn.LayerNorm(width)
        self.between = nn.MultiheadAttention(width, heads, batch_first=True)
        self.cross_norm = nn.LayerNorm(width)
        self.cross = nn.MultiheadAttention(width, heads, batch_first=True)
        self.machine_ff_norm, self.vm_ff_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.machine_ff = _feed_forward(width, feed_forward, width)
        self.vm_ff = _feed_forward(width, feed_forward, width)

    def forward(self, machines: Tensor, vms: Tensor, host: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """(B, P, W) machines and (B, V, W) VMs after the block; `host` is (B, V), `present` (B, V, 1)."""
        machine_change, vm_change = self._tree(machines, vms, host, present)
        machines, vms = machines + machine_change, vms + vm_change
        seen = self.between_norm(machines)
        machines = machines + self.between(seen, seen, seen, need_weights=False)[0]
        keys = self.cross_norm(machines)
        vms = vms + self.cross(self.cross_norm(vms), keys, keys, need_weights=False)[0]
        machines = machines + self.machine_ff(self.machine_ff_norm(machines))
        return machines, vms + self.vm_ff(self.vm_ff_norm(vms))

    def _tree(self, machines: Tensor, vms: Tensor, host: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Attention within each tree, by softmax sums over a machine and its VMs with linear cost.

        A machine attends to itself and its VMs; a VM to itself and its machine, and to its siblings through
        what the machine has gathered.
        """
        batch, count, width = machines.shape
        heads, size = self._heads, width // self._heads

        def parts(layer: nn.Linear, tokens: Tensor) -> list[Tensor]:
            split = layer(tokens).view(*tokens.shape[:2], 3, heads, size)
            return [split[:, :, k] for k in range(3)]

        query, key, value = parts(self.machine_qkv, self.machine_norm(machines))
        vm_query, vm_key, vm_value = parts(self.vm_qkv, self.vm_norm(vms))
        index = host.view(batch, -1, 1, 1)
        at = index.expand(-1, -1, heads, size)
        scale = 1 / math.sqrt(size)
        own = (query * key).sum(3, keepdim=True) * scale
        to_vm = (query.gather(1, at) * vm_key).sum(3, keepdim=True) * scale
        # Subtracting each machine's own score, as a softmax may, keeps exponents near 0.
        weight = (to_vm - own.gather(1, index.expand(-1, -1, heads, 1))).clamp(-20, 20).exp()
        weight = weight * present.unsqueeze(3)
        total = torch.ones_like(own).scatter_add(1, index.expand(-1, -1, heads, 1), weight)
        gathered = value.scatter_add(1, at, weight * vm_value) / total
        machine_change = self.machine_out(gathered.reshape(batch, count, width))
        itself = (vm_query * vm_key).sum(3, keepdim=True) * scale
        up = (vm_query * key.gather(1, at)).sum(3, keepdim=True) * scale
        share = torch.sigmoid(itself - up)
        mixed = share * vm_value + (1 - share) * gathered.gather(1, at)
        return machine_change, self.vm_out(mixed.reshape(batch, -1, width))


class SparseNetwork(TwoStagePolicy):
    """Blocks of `_TreeBlock` for both stages; the second stage compares the chosen VM with every node.

    Differences from the published network: attention within a tree has linear cost (siblings are seen through
    their machine); VMs of different machines meet through machines; the value is read from the mean of
    machines; a node's logit comes from the machine, the node's own free cores and memory after the VM's
    coming, and the VM.

    Args:
        width, heads, blocks, feed_forward: see `AttentionOptions`.
    """

    def __init__(self, width: int, heads: int, blocks: int, feed_forward: int) -> None:
        super().__init__()
        self.machine = nn.Linear(MACHINE_COLUMNS + 1, width)
        self.vm = nn.Linear(OWN_COLUMNS + MACHINE_COLUMNS + 4 + 1, width)
        self.blocks = nn.ModuleList(_TreeBlock(width, heads, feed_forward) for _ in range(blocks))
        self.vm_logit = _feed_forward(width, feed_forward, 1)
        self.value = _feed_forward(width + 1, feed_forward, 1)
        self.chosen = nn.Linear(width + OWN_COLUMNS, width)
        self.place = nn.Linear(width, width)
        self.node = nn.Linear(_NODE_COLUMNS, width)
        self.node_logit = _feed_forward(width, feed_forward, 1)

    def encode(self, observation: Tensors) -> tuple[Tensor, Tensor, Any]:
        host = observation["host"].long()
        present = (host >= 0).unsqueeze(2).to(observation["vms"].dtype)
        host = host.clamp(min=0)
        left = observation["steps_left"]
        steps = left.unsqueeze(2)
        machines = self.machine(
            torch.cat(
                [observation["machines"], steps.expand(-1, observation["machines"].shape[1], -1)], dim=2
            )
        )
        features = torch.cat([with_host(observation), _after_leaving(observation)], dim=2)
        vms = self.vm(torch.cat([features, steps.expand(-1, features.shape[1], -1)], dim=2)) * present
        for block in self.blocks:
            machines, vms = block(machines, vms, host, present)
        value = self.value(torch.cat([machines.mean(dim=1), left], dim=1)).squeeze(1)
        return self.vm_logit(vms).squeeze(2), value, (machines, vms)

    def targets(self, observation: Tensors, encoded: Any, vm: Tensor) -> Tensor:
        machines, vms = encoded
        own = of_chosen(observation["vms"][:, :, :OWN_COLUMNS], vm)
        selected = self.chosen(torch.cat([of_chosen(vms, vm), own], dim=1))
        nodes = self.node(_after_coming(observation, vm))
        seen = self.place(machines).unsqueeze(2) + nodes + selected[:, None, None, :]
        return self.node_logit(nn.functional.gelu(seen)).flatten(1)


_NODE_COLUMNS = 8
_UNIT = 16


def _fragment(cores: Tensor) -> Tensor:
    """What of free cores is in no slot, as a share of one."""
    return torch.remainder(cores, _UNIT) / _UNIT


def _after_leaving(observation: Tensors) -> Tensor:
    """(B, V, 4) fragments of the nodes of a VM's machine if it left, and by how much slots would grow."""
    host = observation["host"].long().clamp(min=0)
    free = observation["free"][:, :, :2].gather(1, host.unsqueeze(2).expand(-1, -1, 2))
    node = observation["node"].unsqueeze(2)
    on = (node == torch.arange(2, device=node.device)) | (node == 2)
    after = free + observation["demand"][:, :, :1] * on
    slots = (after // _UNIT - free // _UNIT).to(torch.float32)
    return torch.cat([_fragment(after.float()), slots], dim=2)


def _after_coming(observation: Tensors, vm: Tensor) -> Tensor:
    """(B, P, 2, 8) of each node: free cores before and after the VM's coming, fragments, slots lost, MB, and
    whether it is the VM's own machine or node."""
    free, memory = observation["free"][:, :, :2], observation["free"][:, :, 2:]
    demand, node = of_chosen(observation["demand"], vm), of_chosen(observation["node"], vm)
    host = of_chosen(observation["host"], vm).long()
    cores = demand[:, :1, None]
    after = free - cores
    machines = torch.arange(free.shape[1], device=free.device)
    own = (machines == host[:, None]).unsqueeze(2).expand(-1, -1, 2)
    double = (node == 2)[:, None, None].expand_as(own)
    # Of a double VM both nodes change, whichever stands for it.
    lost = (free // _UNIT - torch.div(after, _UNIT, rounding_mode="floor")).float()
    lost = torch.where(double, lost.sum(dim=2, keepdim=True).expand_as(lost), lost)
    columns = [
        free.float() / 44,
        after.float() / 44,
        _fragment(free.float()),
        _fragment(after.float()),
        lost,
        memory.float() / 184_388,
        own.float(),
        double.float(),
    ]
    return torch.stack(columns, dim=3)
