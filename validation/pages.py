"""The content security policy of Data Docs: what their pages may load and run, whatever text stands in them."""

import base64
import hashlib
import re
from pathlib import Path

from ncs.lake import storage

_HOSTS = (
    "https://cdn.jsdelivr.net https://cdnjs.cloudflare.com https://code.jquery.com https://maxcdn.bootstrapcdn.com "
    "https://stackpath.bootstrapcdn.com https://unpkg.com"
)
"""Where the pages of Great Expectations take their style sheets and scripts from."""
_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_HANDLER = re.compile(r'onclick="((?:showAllValidations|hideSucceededValidations|clearTableFilters)\([^"<>]*\))"')
_MARK = '<meta http-equiv="Content-Security-Policy"'


def secure(folder: str) -> None:
    """Give each page below a folder its policy, unless it has one: no script but its own, no form, no other source."""
    for path in Path(folder).rglob("*.html"):
        page = path.read_text(encoding="utf-8")
        if _MARK not in page:
            storage.write_bytes(str(path), page.replace("<head>", f"<head>\n    {policy(page)}", 1).encode())


def policy(page: str) -> str:
    """The `meta` element for a page: its own inline scripts and handlers are known by their hashes."""
    own = " ".join(sorted({_hash(text) for found in (_SCRIPT, _HANDLER) for text in found.findall(page)}))
    rules = (
        "default-src 'none'",
        f"script-src 'unsafe-hashes' {own} {_HOSTS}",
        f"style-src 'unsafe-inline' {_HOSTS}",
        f"font-src {_HOSTS}",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
    )
    return f'{_MARK} content="{"; ".join(rules)}">'


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
