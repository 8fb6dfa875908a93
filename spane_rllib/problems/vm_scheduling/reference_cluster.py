"""The cluster of the paper (arXiv 2504.14946), which is the default everywhere."""

SERVERS = 5
NODE_CPU = 40.0
"""CPU cores of one NUMA node."""
NODE_MEMORY = 90.0
"""Memory of one NUMA node, GiB."""
DOUBLE_MEMORY_THRESHOLD = 10.0
"""Memory of a VM, GiB, above which it is split over both nodes of a server."""

VM_SIZES: dict[str, float] = {"small": 1 / 16, "medium": 1 / 4, "large": 1 / 2, "giant": 1.0}
"""Sizes of VMs: the largest share of a server, of its cores or its memory, that a VM of the size needs."""
