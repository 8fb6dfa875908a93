"""Networks from observations to Q-values: torch modules, their compiled forward pass, weights on disk."""
