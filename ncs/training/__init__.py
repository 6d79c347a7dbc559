"""Training under one or many workers: the loop, the optimiser, checkpoints, runs."""
