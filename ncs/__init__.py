"""Neuron-connection sharing of click and watch models, from raw logs to comparison.

Two halves that never import each other: the Spark half (`logs`, `labels`, `features`, `evaluation`) and the training
half (`data_loading`, `pruning`, `nets`, `training`, `methods`, `models`, `runs`, `serving`). They meet in Delta files
(`lake`). `jobs` calls both.
"""

import os
from importlib.metadata import PackageNotFoundError, version

# OpenMP reads it when torch is loaded, and whoever does that has imported this package first. A thread that waits for
# others spins 300,000 times by default, some 15 ms: beside other work, while the thread that it waits for is off its
# core, that keeps the other core busy with nothing. 1 ms spans the gaps between a step's operations (docs/speed.md).
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")

try:
    __version__ = version("ncs")
except PackageNotFoundError:  # run from the sources alone
    __version__ = "0+unknown"
