"""Keys that came later: at their defaults they are no part of a digest, so that what was made before is found."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

LATER: Mapping[str, Any] = {
    "net.snr.rate": 1.0,
    "net.members": 1,
    "net.blend": "layer_share",
    "train.order": "shuffled",
    "train.masked_state": True,
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
