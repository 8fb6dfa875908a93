"""The legal targets of chosen VMs, from observations alone: the same when a migration is made and learned
from."""

from __future__ import annotations

import torch
from torch import Tensor

from spane_rllib.learning.tensors import Tensors


def of_chosen(values: Tensor, vm: Tensor) -> Tensor:
    """(B, ...) rows of (B, V, ...) values for (B,) VMs."""
    return values[torch.arange(len(vm), device=vm.device), vm]


def target_mask(observation: Tensors, vm: Tensor) -> Tensor:
    """(B, 2P) which nodes (B,) VMs may go to, where they are among them; node 0 stands for both."""
    free = observation["free"]
    batch, machines = free.shape[:2]
    demand, node = of_chosen(observation["demand"], vm), of_chosen(observation["node"], vm)
    host = of_chosen(observation["host"], vm).long().clamp(min=0)
    fits = (free[:, :, :2] >= demand[:, None, :1]) & (free[:, :, 2:] >= demand[:, None, 1:2])
    double = (node == 2)[:, None]
    both = fits.all(dim=2)
    fits = torch.stack(
        [torch.where(double, both, fits[:, :, 0]), torch.where(double, False, fits[:, :, 1])], dim=2
    )
    group = demand[:, 2]
    if (observation["demand"][:, :, 2] >= 0).any():
        members = (observation["demand"][:, :, 2] == group[:, None]) & (group >= 0)[:, None]
        members = members.scatter(1, vm[:, None], False)
        on = torch.zeros(batch, machines, dtype=torch.int32, device=free.device)
        on.scatter_add_(1, observation["host"].long().clamp(min=0), members.int())
        fits = fits & (on == 0)[:, :, None]
    # The own machine of a double VM, and the other node of a single one, as well as where it is.
    rows = torch.arange(batch, device=free.device)
    own = fits[rows, host]
    own[:, 0] = torch.where(double[:, 0], True, own[:, 0] | (node == 0))
    own[:, 1] = torch.where(double[:, 0], False, own[:, 1] | (node == 1))
    # Within a group's own machine only the VM itself counts, which `members` leaves out.
    fits = fits.clone()
    fits[rows, host] = own
    return fits.reshape(batch, 2 * machines)
