"""The cluster of the paper (arXiv 2504.14946), which is the default everywhere."""

SERVERS = 5
NODE_CPU = 40.0
"""CPU cores of one NUMA node."""
NODE_MEMORY = 90.0
"""Memory of one NUMA node, GiB."""
DOUBLE_MEMORY_THRESHOLD = 10.0
"""Memory of a VM, GiB, above which it is split over both nodes of a server."""
