"""VM traces: reading, fetching, generating and describing them.

The parts are imported from their modules (`loading.load_trace` and so on): importing the package stays cheap.
"""
