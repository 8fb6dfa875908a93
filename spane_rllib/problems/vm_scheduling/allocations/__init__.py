"""The allocations objective of VMAgent (arXiv 2112.04785): place VMs until the first that fits nowhere."""
