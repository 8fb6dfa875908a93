"""Server-permutation augmentation: a network without built-in symmetry sees servers in other orders.

Servers are interchangeable, so renumbering them consistently in both observations and the action leaves
rewards and legality as they were. SPANE's augmented MLP baseline does this with a fixed set of permutations.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from spane_rllib.core.errors import UserError
from spane_rllib.learning.batch import MASK, Arrays, Batch


class ServerPermutations:
    """A fixed set of permutations of the servers, the identity first.

    Args:
        servers: N, number of servers.
        count: K, number of permutations, 2 to 120; all N! of them where N! < K.
        seed: decides the set.

    Attributes:
        permutations: (K, N) int64, all distinct; server i of a permuted observation is server
            `permutations[k, i]` of the original.
    """

    def __init__(self, servers: int, count: int, seed: int) -> None:
        if not 2 <= count <= 120:
            raise UserError(f"the number of augmentation permutations must be 2 to 120, got {count}")
        random = np.random.default_rng(seed)
        distinct = {tuple(range(servers)): None}  # a dict keeps the order of drawing
        while len(distinct) < min(count, math.factorial(servers)):
            distinct[tuple(random.permutation(servers).tolist())] = None
        self.permutations = np.array(list(distinct), dtype=np.int64)
        self._new_position = np.argsort(self.permutations, axis=1)  # the inverse permutations

    def __len__(self) -> int:
        return len(self.permutations)

    def apply(self, batch: Batch, choice: npt.NDArray[np.int64]) -> Batch:
        """Renumber the servers of each transition.

        Args:
            batch: B transitions; not changed.
            choice: (B,) which permutation each of them gets, below K.

        Returns:
            A batch of new arrays; what does not depend on the order of servers is shared with `batch`.
        """
        size, servers = batch.observation["servers"].shape[:2]
        # Rows of a (B*N, ...) view: one flat `take` is several times faster than two-axis fancy indexing.
        rows = (self.permutations[choice] + servers * np.arange(size)[:, None]).ravel()

        def permuted(observation: Arrays) -> dict[str, npt.NDArray[Any]]:
            return {
                name: values.reshape(size * servers, -1).take(rows, axis=0).reshape(values.shape)
                if name in ("servers", MASK)
                else values
                for name, values in observation.items()
            }

        server, node = np.divmod(batch.action, 2)
        return batch._replace(
            observation=permuted(batch.observation),
            action=2 * self._new_position[choice, server] + node,
            next_observation=permuted(batch.next_observation),
        )
