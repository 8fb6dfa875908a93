"""Learning in plain numpy and torch, of any problem that observes named arrays with an action mask."""
