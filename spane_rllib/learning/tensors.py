"""Observations as tensors, and what a mask does to the values of actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from spane_rllib.learning.batch import Arrays

Tensors = Mapping[str, Tensor]


def device_of(network: nn.Module) -> torch.device:
    """Where the network's weights are, and what it is given has to be."""
    return next(network.parameters()).device


def to_tensors(arrays: Arrays, device: torch.device) -> dict[str, Tensor]:
    """The arrays as tensors; on the CPU they share memory."""
    return {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}


def on_cpu(state: Any) -> Any:
    """The same nested mappings, lists and tuples with every tensor on the CPU."""
    if isinstance(state, Tensor):
        return state.cpu()
    if isinstance(state, dict):
        return {key: on_cpu(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(map(on_cpu, state))
    return state


def masked(values: Tensor, action_mask: Tensor) -> Tensor:
    """(B, A) values, -inf where the mask is 0."""
    return values.masked_fill(action_mask == 0, -torch.inf)


def masked_argmax(values: Tensor, action_mask: Tensor) -> Tensor:
    """(B,) the feasible actions of highest value; the first of equals, 0 where none is feasible."""
    return masked(values, action_mask).argmax(dim=1)


def masked_log_softmax(logits: Tensor, action_mask: Tensor) -> Tensor:
    """(B, A) log-probabilities of the actions; -inf where the mask is 0, which must not be all of a row."""
    return masked(logits, action_mask).log_softmax(dim=1)


def entropy(log_probabilities: Tensor) -> Tensor:
    """(B,) entropies, natural logarithm; actions of probability 0 count nothing."""
    # Where it is -inf, 0 * -inf would be NaN, in the gradient too.
    finite = log_probabilities.masked_fill(log_probabilities == -torch.inf, 0.0)
    return -(log_probabilities.exp() * finite).sum(dim=1)


def chosen(values: Tensor, action: Tensor) -> Tensor:
    """(B,) what (B, A) `values` have for (B,) `action`."""
    return values.gather(1, action.unsqueeze(1)).squeeze(1)
