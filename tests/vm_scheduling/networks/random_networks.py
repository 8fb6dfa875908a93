"""Networks of any shape, for comparisons of torch with what is compiled."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from hypothesis import strategies as st
from torch import nn

ALL = {"aggregations": ["mean", "max", "std"]}
Network = TypeVar("Network", bound=nn.Module)


def spane_options(widest: int, deepest: int) -> st.SearchStrategy[dict[str, Any]]:
    widths, depths = st.integers(1, widest), st.integers(1, deepest)
    return st.fixed_dictionaries(
        {
            "server_width": widths,
            "server_depth": depths,
            "value_width": widths,
            "value_depth": depths,
            "advantage_width": widths,
            "advantage_depth": depths,
            "aggregations": st.lists(st.sampled_from(["mean", "max", "std"]), min_size=1, unique=True),
            "encoder_output": st.sampled_from(["linear", "relu"]),
            "standard_deviation": st.sampled_from(["sample", "population"]),
        }
    )


def with_random_biases(network: Network, seed: int) -> Network:
    """Kaiming starts with zero biases, under which a misplaced bias would not show."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.uniform_(-0.5, 0.5, generator=generator)
    return network
