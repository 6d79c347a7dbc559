"""What each model is, in one line: the first of its module's docstring, and what a variant sets otherwise."""

import ast
from functools import cache
from pathlib import Path

from ncs.config import Config

_MODELS = Path(__file__).parent.parent / "models"


def what_it_is(model: str, conf: Config) -> str:
    """A model of the configuration's catalogue in one line; empty where the catalogue does not name it."""
    variant = conf.models.get(model)
    if variant is None:
        return ""
    keys = "; ".join(f"{key}: {value}" for key, value in variant.set.items())
    return f"{_first_line(variant.module or model)}{f' Here with {keys}.' if keys else ''}"


@cache
def _first_line(module: str) -> str:
    """The source is read, not imported: models import torch, which pages do without."""
    documented = ast.get_docstring(ast.parse((_MODELS / f"{module}.py").read_text(encoding="utf-8"))) or ""
    return documented.partition("\n")[0]
