"""Actions by a network, in one lane: the best, a random or a sampled one of the feasible ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiled_arrays import flat
from spane_rllib.core.compiling import inlined
from spane_rllib.problems.vm_scheduling.networks.kernels import best_feasible, row_q_values
from spane_rllib.problems.vm_scheduling.simulator.lanes import Observations

Rows = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]


@inlined
def evaluate(
    weights: Float32Array,
    layout: Rows,
    observations: Observations,
    lane: int,
    scratch: Float32Array,
    q: Float32Array,
) -> None:
    """Write the Q-values of the lane's observation to `q`."""
    row_q_values(weights, layout, flat(observations.servers[lane]), observations.request[lane], scratch, q)


@inlined
def best_action(
    weights: Float32Array,
    layout: Rows,
    observations: Observations,
    lane: int,
    scratch: Float32Array,
    q: Float32Array,
) -> int:
    """The feasible action of the highest Q-value in a running lane, the first of equals."""
    evaluate(weights, layout, observations, lane, scratch, q)
    return best_feasible(q, observations.action_mask[lane])


@inlined
def random_action(mask: npt.NDArray[np.int8], random: np.random.Generator) -> int:
    """A feasible action, each with the same chance."""
    feasible = 0
    for action in range(len(mask)):
        feasible += mask[action] != 0
    pick = int(random.random() * feasible)
    for action in range(len(mask)):
        if mask[action] != 0:
            if pick == 0:
                return action
            pick -= 1
    return -1


@inlined
def sample_action(
    logits: Float32Array, mask: npt.NDArray[np.int8], random: np.random.Generator
) -> tuple[int, np.float32]:
    """An action drawn from the softmax of the logits whose mask is not 0, and the log of its probability."""
    largest = -np.inf
    for action in range(len(logits)):
        if mask[action] != 0:
            largest = max(largest, logits[action])
    total = 0.0
    for action in range(len(logits)):
        if mask[action] != 0:
            total += np.exp(logits[action] - largest)
    pick = random.random() * total
    chosen = -1
    for action in range(len(logits)):
        if mask[action] != 0:
            weight = np.exp(logits[action] - largest)
            # An action whose weight has vanished is never chosen, be it the last one after rounding.
            if weight > 0.0:
                chosen = action
                if pick < weight:
                    break
            pick -= weight
    return chosen, np.float32(logits[chosen] - largest - np.log(total))
