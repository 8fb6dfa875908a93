"""Work handed to a Ray cluster through its jobs API."""
