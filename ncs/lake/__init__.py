"""The lake: one root, every table a Delta table below it, each commit with its provenance."""
