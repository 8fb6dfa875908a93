"""A policy of one's own. In this folder: python -m spane_rllib.evaluate --policy own_policy:Fullest ..."""


class Fullest:
    """Chooses the slot with the least CPU and memory left."""

    def act(self, observation):
        """`servers` (N, 2, 2) are free shares by server, node and (CPU, memory); slot 2 * server + node."""
        free = observation["servers"].sum(axis=2).ravel()
        return (free + 9 * (observation["action_mask"] == 0)).argmin()
