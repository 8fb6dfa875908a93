"""The RLlib layer: everything that depends on RLlib's (old) API stack."""
