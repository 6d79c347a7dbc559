"""The HTML pages: one file each with everything in it, no network; the head, the style and the macros are common."""

import base64
import hashlib
from pathlib import Path
from typing import Any

import jinja2

_PAGES = Path(__file__).parent / "pages"
_SORTING = (_PAGES / "sort.js").read_text(encoding="utf-8")


def render(template: str, **values: Any) -> str:
    """A page from a template of `pages/`. What comes from data or configuration is escaped; pictures are inline SVG.

    Its content security policy allows inline styles and one script, by its hash: the one that sorts tables.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_PAGES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    digest = base64.b64encode(hashlib.sha256(_SORTING.encode()).digest()).decode()
    return environment.get_template(template).render(**values, sorting=_SORTING, sorting_hash=f"'sha256-{digest}'")
