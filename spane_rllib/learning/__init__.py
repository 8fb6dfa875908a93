"""Learning in plain numpy and torch, of any problem whose observations are named arrays with an action mask."""
