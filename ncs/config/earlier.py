"""Configurations of earlier versions: keys that were renamed, removed, or added later."""

import logging
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

_log = logging.getLogger(__name__)

RENAMED = {
    "systems": "models",
    "train.system": "train.models",
    "compare.systems": "compare.models",
    "feed": "data_loading",
    "gates.learnt.shift": "gates.learnt.psi",
}
"""Old key -> new key, both from the top of the configuration."""
GONE = ("compare.resamples", "promote.resamples", "gates.pages")
"""Keys that mean nothing any more: they are left out."""
_BEFORE = {"train.refit": False, "train.average": 0.0}
"""Key -> what was done before there was the key, where the value in `base.yaml` says otherwise."""


def rename_key(key: str, where: str) -> str:
    """The name that a key has now, `key` itself or one above it being an old one; `where` is for the warning."""
    for old, new in RENAMED.items():
        if key == old or key.startswith(f"{old}."):
            _log.warning("%s: %s is called %s now", where, old, new)
            return new + key.removeprefix(old)
    return key


def drop_keys(values: dict[str, Any]) -> dict[str, Any]:
    """The configuration of an earlier version without keys that had no effect: `buckets` of a vocabulary."""
    fields = values.get("fields")
    for field in fields.values() if isinstance(fields, dict) else ():
        if isinstance(field, dict) and field.get("encode") == "vocabulary":
            field.pop("buckets", None)
    return drop_gone(values, None)


def drop_gone(values: dict[str, Any], where: str | None) -> dict[str, Any]:
    """The same configuration without removed keys; `where` is for the warning, None: nobody is warned."""
    for key in GONE:
        section, _, name = key.partition(".")
        if isinstance(values.get(section), dict) and name in values[section]:
            if where is not None:
                _log.warning("%s: %s means nothing any more, it is left out", where, key)
            del values[section][name]
    return values


def add_keys(values: dict[str, Any]) -> dict[str, Any]:
    """The configuration of an earlier version with the keys that came later, where `base.yaml` says otherwise."""
    for key, value in _BEFORE.items():
        section, _, name = key.partition(".")
        if isinstance(values.get(section), dict):
            values[section].setdefault(name, value)
    return values


def rename_keys(values: dict[str, Any], where: str | None) -> dict[str, Any]:
    """The same configuration under the keys' new names; `where` is for the warning, None: nobody is warned."""
    for old, new in RENAMED.items():
        *sections, name = old.split(".")
        section: Any = values
        for above in sections:
            section = section.get(above) if isinstance(section, dict) else None
        if isinstance(section, dict) and name in section:
            if where is not None:
                _log.warning("%s: %s is called %s now", where, old, new)
            section[new.rpartition(".")[2]] = section.pop(name)
    return values


LATER: Mapping[str, Any] = {
    "net.snr.rate": 1.0,
    "net.members": 1,
    "net.blend": "layer_share",
    "train.order": "shuffled",
    "train.masked_state": True,
    "train.embedding_l2": 0.0,
    "prune.overlap_price": 0.0,
    "prune.granularity": "connection",
}
"""Key -> the value that says what was done before there was the key."""


def without_later(sections: Mapping[str, Any]) -> dict[str, Any]:
    """Sections by name, as `Config.part` gives them, without those keys that have their defaults."""
    kept = deepcopy(dict(sections))
    for key, default in LATER.items():
        *path, name = key.split(".")
        section: Any = kept
        for above in path:
            section = section.get(above, {})
        if name in section and section[name] == default:
            del section[name]
    return kept
