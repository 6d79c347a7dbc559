"""Which connections a task keeps: masks, scores that rank connections, pruning rounds, the search."""
