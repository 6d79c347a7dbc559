"""Runs: models of the catalogue trained on pinned versions of the samples, their tuning and their predictors."""
