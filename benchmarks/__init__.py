"""Measurements of this package: `python -m benchmarks`, explained in docs/benchmarks.md."""
