"""The lake: one root, every table a Delta table below it, what each commit was made from."""
