"""Networks by kind."""

from __future__ import annotations

from typing import Any

from torch import nn

from spane_rllib.problems.vm_rescheduling.networks.attention import AttentionNetwork
from spane_rllib.problems.vm_rescheduling.networks.sparse import SparseNetwork

_KINDS = {"attention": AttentionNetwork, "sparse": SparseNetwork}


def build(kind: str, options: Any) -> nn.Module:
    """A network of one of `RescheduleProblem.networks`, with fresh weights from torch's random state."""
    return _KINDS[kind](options.width, options.heads, options.blocks, options.feed_forward)
