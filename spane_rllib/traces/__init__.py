"""VM traces: reading, fetching, generating and describing them.

The parts are imported from their modules (`spane_rllib.traces.loading.load_trace` and so on), so that
importing the package stays cheap.
"""
