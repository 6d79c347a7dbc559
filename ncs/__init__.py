"""Neuron-connection sharing of click and watch models, from raw logs to comparison.

Two halves that never import each other: the Spark half (`logs`, `labels`, `features`, `evaluation`) and the training
half (`data_loading`, `pruning`, `nets`, `training`, `methods`, `models`, `runs`, `serving`). They meet in Delta files
(`lake`). `jobs` calls both.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("ncs")
except PackageNotFoundError:  # run from the sources alone
    __version__ = "0+unknown"
