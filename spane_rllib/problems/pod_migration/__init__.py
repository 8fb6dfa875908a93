"""Pod migration: Best-Effort pods on nodes, five-minute windows of demand, moves between windows."""
