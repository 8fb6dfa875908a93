"""Clusters: nodes, pods and where they are; from presets, YAML, or what kubectl prints."""
