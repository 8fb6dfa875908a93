"""The heuristics by name, free of numba so that a configuration is checked without it."""

HEURISTICS: dict[str, str] = {
    "first-fit": "the lowest slot that fits",
    "best-fit": "the fullest node (small VMs) or server (double VMs) that fits",
    "worst-fit": "the emptiest node (small VMs) or server (double VMs) that fits",
    "balance-fit": "small VMs go to the roomier node of the most unbalanced server, double VMs first fit",
    "random": "any slot that fits, each with the same chance",
    "move-to-front": "the slot used last if it fits, else first fit",
    "sbf": "server best fit: the fullest server that fits, there the roomier node",
    "fgd": "fragmentation gradient: lose the least weighted capacity for the flavours of the trace",
    "keep-64": "keep servers that could still host a 64 cpu x 128 GiB VM, then server best fit",
    "best-fit-vmagent": "what VMAgent publishes as BestFit, a worst fit: the node left emptiest",
}
"""What each does. The compiled rules number them in this order."""
