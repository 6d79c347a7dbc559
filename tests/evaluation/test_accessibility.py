"""Pages as axe judges them in a browser: nothing serious stands between a reader and what they say."""

import html
import json
import re
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import pandas as pd
import pytest
from matplotlib import pyplot as plt

from ncs.evaluation import comparison_page, index
from ncs.evaluation.index import Entry
from ncs.evaluation.report import Trained
from ncs.lake import layout, storage
from ncs.lake.layout import Lake
from ncs.notebook.page import render
from ncs.notebook.source import Cell, Ran
from tests.evaluation.factories import METRICS, MODELS, described
from tests.evaluation.test_browser import opened, pytestmark  # noqa: F401  (skips without a browser)
from tests.evaluation.test_pages import THREE, comparison
from tests.evaluation.test_report import figure, page_of
from validation import quality_page, verdicts
from validation.verdicts import Finding, Verdict

RUN = "axe.run(document).then(found => { const all = document.createElement('pre'); all.id = 'axe'; "
RUN += "all.textContent = JSON.stringify(found.violations); document.body.append(all); });"
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
"""Lets no script run, axe neither."""


def report(lake: Lake) -> str:
    figures = [figure(model, metric, 0.5) for model in MODELS for metric in ("auc", "mse")]
    trained = {model: Trained(METRICS[model], None, facts={"parameters": 1234, "density": 0.5}) for model in MODELS}
    return page_of(described(), figures, trained, {})


def comparisons(lake: Lake) -> str:
    return comparison_page.render(comparison(THREE))


def runs(lake: Lake) -> str:
    made = datetime(2026, 1, 2, tzinfo=UTC)
    return index.render([Entry("run", "toy-1", made, "toy-1/report.html", "use layer_share", "two models")])


def quality(lake: Lake) -> str:
    broken = Finding("clicked", "mean of clicked", "0", "expect_no_rows", ["2022-04-08"], examples=['{"a": "<b>"}'])
    verdict = Verdict(
        layout.SAMPLES, 0, "2022-04-08..2022-04-09", "x", False, [broken, Finding("cvr", "holds", "all", "e", met=True)]
    )
    storage.write_json(verdicts.uri(lake, layout.SAMPLES), asdict(verdict))
    verdicts.keep(lake, [verdict], "run")
    quality_page.write(lake, comparison(THREE).conf)
    return Path(quality_page.uri(lake)).read_text()


def notebook(lake: Lake) -> str:
    figure, axis = plt.subplots()
    axis.set_title("up")
    axis.plot([1, 2])
    try:
        tables = [pd.DataFrame({"x": [1]}), pd.DataFrame({"y": [2]})]
        ran = Ran(Cell("x = 1", is_code=True), "printed", tables, [figure])
        return render("own", [Ran(Cell("# Words", is_code=False)), ran])
    finally:
        plt.close(figure)


@pytest.mark.parametrize("page", [report, comparisons, runs, quality, notebook])
def test_axe_finds_nothing_serious(page: Callable[[Lake], str], lake: Lake, tmp_path: Path) -> None:
    axe = files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    axe = axe.replace("</script>", "<\\/script>")
    text = POLICY.sub("", page(lake)).replace("</body>", f"<script>{axe}</script><script>{RUN}</script></body>")
    shown, _ = opened(tmp_path / "page.html", text)
    found = re.search(r'<pre id="axe">(.*?)</pre>', shown, re.DOTALL)
    assert found, shown[-500:]
    violations = json.loads(html.unescape(found[1]))
    assert [one["id"] for one in violations if one["impact"] in ("serious", "critical", "moderate")] == []
