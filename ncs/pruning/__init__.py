"""Pruning: masks, scores that rank connections, a pruning round. Pure functions of tensors; no model is imported."""
