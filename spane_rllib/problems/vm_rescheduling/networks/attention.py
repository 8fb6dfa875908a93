"""The base network of VMR2L: every VM attends to every other and to every machine."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from spane_rllib.learning.tensors import Tensors
from spane_rllib.problems.vm_rescheduling.environment.observing import MACHINE_COLUMNS, OWN_COLUMNS
from spane_rllib.problems.vm_rescheduling.networks.masks import of_chosen
from spane_rllib.problems.vm_rescheduling.networks.two_stage import TwoStagePolicy


def with_host(observation: Tensors) -> Tensor:
    """(B, V, 14) the VM's own columns and those of its machine; 0 for padding."""
    own = observation["vms"][:, :, :OWN_COLUMNS]
    host = observation["host"].long()
    machines = observation["machines"]
    index = host.clamp(min=0).unsqueeze(2).expand(-1, -1, machines.shape[2])
    return torch.cat([own, machines.gather(1, index)], dim=2) * (host >= 0).unsqueeze(2)


def _layers(kind: Any, width: int, heads: int, feed_forward: int, blocks: int) -> nn.ModuleList:
    return nn.ModuleList(
        kind(width, heads, feed_forward, dropout=0.0, activation="gelu", batch_first=True)
        for _ in range(blocks)
    )


class AttentionNetwork(TwoStagePolicy):
    """Machines are encoded, VMs decoded against them; the same again, with nothing shared, for where to go.

    Differences from the published network: no dropout, which made old and new probabilities differ by chance;
    the logits of a machine's nodes are its own two outputs.

    Args:
        width, heads, blocks, feed_forward: see `AttentionOptions`.
    """

    def __init__(self, width: int, heads: int, blocks: int, feed_forward: int) -> None:
        super().__init__()
        self._width = width
        sizes = width, heads, feed_forward, blocks
        encoder, decoder = nn.TransformerEncoderLayer, nn.TransformerDecoderLayer
        self.machine = nn.Linear(MACHINE_COLUMNS, width)
        self.vm = nn.Linear(OWN_COLUMNS + MACHINE_COLUMNS, width)
        self.encoder, self.decoder = _layers(encoder, *sizes), _layers(decoder, *sizes)
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.vm_logit, self.value = nn.Linear(width, 1), nn.Linear(width, 1)
        self.target_machine = nn.Linear(MACHINE_COLUMNS, width)
        self.target_vm = nn.Linear(OWN_COLUMNS + MACHINE_COLUMNS, width)
        self.target_encoder, self.target_decoder = _layers(encoder, *sizes), _layers(decoder, *sizes)
        self.target_norm = nn.LayerNorm(width)
        self.node_logit = nn.Linear(width, 2)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def _step_token(self, observation: Tensors) -> Tensor:
        # Share of the steps made, as published, as a token.
        made = 1.0 - observation["steps_left"]
        return made.unsqueeze(2).expand(-1, 1, self._width)

    def encode(self, observation: Tensors) -> tuple[Tensor, Tensor, Any]:
        features = with_host(observation)
        padding = observation["host"] < 0
        memory = torch.cat([self._step_token(observation), self.machine(observation["machines"])], dim=1)
        for layer in self.encoder:
            memory = layer(memory)
        memory = self.encoder_norm(memory)
        critic = memory.new_full((len(memory), 1, self._width), -1.0)
        tokens = torch.cat([self.vm(features), critic], dim=1)
        padding = torch.cat([padding, padding.new_zeros(len(padding), 1)], dim=1)
        for layer in self.decoder:
            tokens = layer(tokens, memory, tgt_key_padding_mask=padding)
        tokens = self.decoder_norm(tokens)
        logits = self.vm_logit(tokens[:, :-1]).squeeze(2)
        return logits, self.value(tokens[:, -1]).squeeze(1), features

    def targets(self, observation: Tensors, encoded: Any, vm: Tensor) -> Tensor:
        selected = self.target_vm(of_chosen(encoded, vm)).unsqueeze(1)
        memory = torch.cat([self._step_token(observation), selected], dim=1)
        for layer in self.target_encoder:
            memory = layer(memory)
        tokens = self.target_machine(observation["machines"])
        for layer in self.target_decoder:
            tokens = layer(tokens, memory)
        return self.node_logit(self.target_norm(tokens)).flatten(1)
