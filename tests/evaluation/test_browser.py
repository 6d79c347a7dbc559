"""Pages in a real browser: every section is there, nothing goes wrong, a phone shows them whole, tables sort.

Debian's `chromium` is enough (`apt-get install chromium`); without it these tests are skipped.
"""

import html
import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from ncs.evaluation import comparison_page
from ncs.evaluation.report import Trained
from tests.evaluation.factories import MASKS, METRICS, MODELS, described, in_bins, simulated
from tests.evaluation.test_pages import THREE, comparison
from tests.evaluation.test_report import figure, page_of

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium on the PATH (Debian: apt-get install chromium)")

PHONE = 390
FRAME = """<!doctype html>
<iframe id="frame" style="width: {width}px; height: 800px; border: 0" srcdoc="{page}"></iframe>
<script>frame.onload = () => {{
  const page = frame.contentDocument, root = page.documentElement;
  document.title = `${{root.scrollWidth - root.clientWidth}} ${{page.querySelectorAll("svg").length}}`;
}}</script>"""
"""A window as narrow as a phone's: the browser's own has a least width. Its title tells what was found."""


SORTED = """<!doctype html>
<iframe id="frame" srcdoc="{page}"></iframe>
<script>frame.onload = () => {{
  const page = frame.contentDocument, table = page.querySelector("table.sortable");
  const names = () => [...table.tBodies[0].rows].map(row => row.cells[0].textContent).join("/");
  table.tHead.rows[0].cells[1].firstChild.click();  // CVR MSE, the largest first
  const down = names();
  table.tHead.rows[0].cells[1].firstChild.click();
  page.getElementById("reference-2").click();
  const shown = [...page.querySelectorAll("section.reference")].findIndex(one => one.offsetParent !== null);
  document.title = `${{down}} ${{names()}} ${{shown}}`;
}}</script>"""
"""Its title tells in which order the models stand after each press, and which section is shown in the end."""


def page() -> str:
    figures = [figure(model, metric, 0.2) for model in MODELS for metric in ("mse", "auc")]
    trained = {model: Trained(METRICS[model], MASKS if model == "connection_share" else None) for model in MODELS}
    bins = [row for task in ("ctr", "cvr") for row in in_bins(MODELS[0], task, (30, 0.2, 0.3), (10, 0.8, 0.8))]
    return page_of(described(), figures, trained, {}, simulation=simulated(datetime(2026, 1, 1)), slices=bins)


def opened(path: Path, content: str) -> tuple[str, list[str]]:
    """The document as the browser leaves it, and what it has written on its console."""
    path.write_text(content)
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=2000"]
    command = [str(BROWSER), *flags, f"--user-data-dir={path.parent / 'profile'}", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_every_section_is_shown_and_the_console_stays_empty(tmp_path: Path) -> None:
    shown, console = opened(tmp_path / "report.html", page())
    assert console == []
    sections = ["comparison", "models", "ranking", "scores", "calibration", "learning"]
    sections += ["masks-connection_share", "labels", "lineage"]
    assert re.findall(r'<h2 id="(.*?)"', shown) == sections


@pytest.mark.parametrize("content", [page, lambda: comparison_page.render(comparison(THREE))])
def test_a_phone_shows_the_page_without_scrolling_sideways(content: Callable[[], str], tmp_path: Path) -> None:
    made = content()
    shown, console = opened(tmp_path / "frame.html", FRAME.format(width=PHONE, page=html.escape(made)))
    assert console == []
    found = re.search(r"<title>(-?\d+) (\d+)</title>", shown)
    assert found, "the page was not loaded"
    assert (int(found[1]), int(found[2])) == (0, made.count("<svg"))


def test_a_heading_sorts_and_a_reference_shows_its_own_section(tmp_path: Path) -> None:
    made = html.escape(comparison_page.render(comparison(THREE)))
    shown, console = opened(tmp_path / "frame.html", SORTED.format(page=made))
    assert console == []
    found = re.search(r"<title>(.*?)</title>", shown)
    assert found
    assert found[1] == "single_task/layer_share/connection_share connection_share/layer_share/single_task 2"
