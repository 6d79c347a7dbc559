"""Training on one or many workers: the loop, the optimiser, checkpoints, the cluster."""
