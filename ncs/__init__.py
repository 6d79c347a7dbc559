"""Neuron-connection sharing of click and watch models, from raw logs to comparison.

Two halves that never import each other: the Spark half (`lake`, `logs`, `samples`, `evaluation`) and the
training half (`loader`, `nets`, `sharing`, `training`). They meet in Delta files. `jobs` calls both.
"""

__version__ = "0.1.0"
