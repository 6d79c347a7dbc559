"""The field's words: phrases that only this project would use stand nowhere in code, messages and documentation."""

import re
import subprocess

from tests.factories import ROOT

PRIVATE = {
    r"the way of the data": "data flow",
    r"\b(are|is) told of\b": "described",
    r"\banew\b": "again, rebuilt",
    r"\bmend(s|ed|ing)?\b": "fix, correct",
    r"\bheld back\b|\bholds? back\b": "blocked",
    r"order of chance|drawn by chance": "random order, at random",
    r"\bless the column\b": "without the column",
    r"shared out over|dealt out": "distributed, repartitioned",
    r"\brefuse_\w+": "check_x, require_x",
    r"\bbegin_sum\b|\btake_in\b|\bof_part\b|\beach_once\b|\bhand_over\b|\bfor_one\b": "the names of torch.distributed",
    r"gate is shut": "data validation failed",
    r"\bsystems? of the catalogue\b|\btrain\.system\b": "model",
}
"""A pattern -> what the field says."""
ALLOWED = {
    "tests/docs/test_words.py",
    "ncs/config/earlier.py",  # the old names of keys
    "CHANGELOG.md",
    "tests/config/test_earlier.py",
    "tests/integration/test_previous_version.py",
}


def test_no_private_words() -> None:
    git = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = git.stdout.splitlines()
    paths = [path for path in listed if re.search(r"\.(py|md|ya?ml|html|cfg)$", path) and "/data/" not in path]
    found = [
        f"{path}:{number}: {line.strip()[:80]!r}; write {word}"
        for path in paths
        if path not in ALLOWED and (ROOT / path).exists()
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), start=1)
        for pattern, word in PRIVATE.items()
        if re.search(pattern, line, re.IGNORECASE)
    ]
    assert not found, "\n".join(found)
