"""The configuration: YAML in `conf/`, checked against types.

Defaults stand in `conf/base.yaml` alone. Models are frozen: a stage gets the configuration and nothing else
decides what it does.
"""

from ncs.config.data import Encode, Interactions, Labels, Logs, Role, Selection, Split, Synthetic
from ncs.config.earlier import without_later
from ncs.config.files import from_run, load, packaged_models, parse
from ncs.config.gates import Gates
from ncs.config.learning import Compare, Endpoint, Net, Prune, Share, Train
from ncs.config.running import Launch, OffPolicy, Simulate
from ncs.config.schema import Config
from ncs.values import digest

__all__ = [
    "Compare",
    "Config",
    "Encode",
    "Endpoint",
    "Gates",
    "Interactions",
    "Labels",
    "Launch",
    "Logs",
    "Net",
    "OffPolicy",
    "Prune",
    "Role",
    "Selection",
    "Share",
    "Simulate",
    "Split",
    "Synthetic",
    "Train",
    "digest",
    "from_run",
    "load",
    "packaged_models",
    "parse",
    "without_later",
]
