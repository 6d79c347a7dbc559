"""The configuration: YAML in `conf/`, checked against types.

Defaults stand in `conf/base.yaml` alone. Models are frozen: a stage gets the configuration and nothing else
decides what it does.
"""

from ncs.config.files import load
from ncs.config.schema import (
    Config,
    Encode,
    FeatureField,
    Gates,
    Labels,
    Logs,
    Net,
    Prune,
    Split,
    Synthetic,
    Train,
    digest,
)

__all__ = [
    "Config",
    "Encode",
    "FeatureField",
    "Gates",
    "Labels",
    "Logs",
    "Net",
    "Prune",
    "Split",
    "Synthetic",
    "Train",
    "digest",
    "load",
]
