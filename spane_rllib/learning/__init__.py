"""Learning parts in plain numpy and torch: returns, replay, augmentation and the DQN update."""
