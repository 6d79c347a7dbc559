"""Names of models that mean something; names as pictures show them: whatever a thing is called, it breaks none."""

import re

from ncs.config import Config

BASELINE = "single_task"
TRUTH = "truth"
"""The model whose predictions, of CTR and CVR alone, are the generator's own: the reachable end, not a competitor."""
LONGEST = 60
"""Characters of a name in a legend."""
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def printable(text: str) -> str:
    """A text without the characters that XML cannot hold."""
    return _UNPRINTABLE.sub("\ufffd", text)


def legend_name(name: str) -> str:
    """A name in one line, not too long. matplotlib leaves out those that start with _, so a space of no width does."""
    name = " ".join(name.split())
    name = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
    return f"\u200b{name}" if name.startswith("_") else name


def features_in_short(conf: Config) -> str:
    """How many features there are of which section."""
    statistics = sum(len(one.fields) for one in conf.statistics)
    histories = len(conf.features) - len(conf.fields) - statistics
    counted = {"fields": len(conf.fields), "statistics": statistics, "histories": histories}
    return ", ".join(f"{count} {name}" for name, count in counted.items() if count)
