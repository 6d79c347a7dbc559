"""The documentation: every name that it gives is there, the site builds without a warning and without a network."""

import html
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow  # noqa: F401  (before torch: the other order has crashed)
import pytest
import yaml

from jobs.stage import stages
from ncs.lake.tables import TABLES
from tests.factories import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_what_a_page_names_is_there(page: Path) -> None:
    """Names of the code and files of the repository."""
    text = page.read_text()
    for name in re.findall(r"\[`(\w+(?:\.\w+)+)`\]\[\]", text) + re.findall(r"\]\[(\w+(?:\.\w+)+)\]", text):
        pkgutil.resolve_name(name)
    for path in re.findall(r"`((?:ncs|jobs|validation|conf|docs|tests|bench)/[\w/]+\.(?:py|yaml|md))`", text):
        assert (ROOT / path).exists(), path


def lines_told() -> Iterator[int]:
    """The lines of Algorithm 1 that the map has."""
    text = (DOCS / "paper.md").read_text().partition("## Algorithm 1")[2].partition("##")[0]
    for cell in re.findall(r"^\| ([\d, to]+) \|", text, re.MULTILINE):
        first, *rest = map(int, re.findall(r"\d+", cell))
        yield from range(first, rest[0] + 1) if "to" in cell else [first, *rest]


def test_the_map_tells_of_every_line_of_the_algorithm() -> None:
    assert set(lines_told()) == set(range(1, 21))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_the_dictionary_has_every_table_and_column(site: Path) -> None:
    page = (site / "dictionary.html").read_text()
    for name, table in TABLES.items():
        assert f">{name}<" in page
        assert all(f"<code>{column}</code>" in page for column in table.columns)


@pytest.mark.slow
def test_the_commands_page_has_every_stage(site: Path) -> None:
    page = (site / "commands.html").read_text()
    for name, stage in stages().items():
        assert f'<a href="#ncs-{name}"><code>{name}</code></a>' in page
        assert all(html.escape(example, quote=False) in page for example in stage.examples)


@pytest.mark.slow
def test_names_lead_to_the_reference(site: Path) -> None:
    page = (site / "paper.html").read_text()
    assert 'href="reference/ncs/methods/search.html#ncs.methods.search.find_masks"' in page


@pytest.mark.slow
def test_a_page_fetches_nothing_from_a_network(site: Path) -> None:
    for path in site.rglob("*.html"):
        for tag in re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", path.read_text()):
            fetched = re.search(r'(?:src|href)="(https?:)?//', tag)
            assert not fetched or 'rel="canonical"' in tag, f"{path.name}: {tag}"


@pytest.mark.slow
def test_the_configuration_page_has_every_key(site: Path) -> None:
    page = (site / "configuration.html").read_text()
    values = yaml.safe_load((ROOT / "conf" / "base.yaml").read_text())
    for section, inner in values.items():
        assert f'<h2 id="{section}">' in page
        for key, value in inner.items() if isinstance(inner, dict) else ():
            assert f'id="{section}.{key}' in page or isinstance(value, dict), key
    assert "the last days of logs.days, never trained on" in page
