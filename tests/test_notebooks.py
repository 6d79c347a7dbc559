"""Every cell of every notebook runs on a small lake, and every figure shows something."""

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from jobs.job import Job
from jobs.pipeline import evaluate, notebook, views
from ncs.errors import ConfigError, DataError
from ncs.evaluation.parts import HISTORIES
from ncs.lake import contract, layout
from ncs.lake.layout import Lake
from ncs.notebook import start
from ncs.notebook.source import Ran, cells, execute
from tests.evaluation.factories import CONF, MODELS, ROWS, RUN, write_lake
from tests.factories import ROOT
from tests.simulation.factories import simulated_rows

FIGURES = {"quick_start": 3, "labels": 3, "masks": 4, "comparison": 4, "ranking": 2}


@pytest.fixture(scope="module")
def lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Evaluated and simulated."""
    lake = write_lake(Lake.at(str(tmp_path_factory.mktemp("lake"))))
    evaluate.run(Job(CONF, lake, CONF.logs.days, quiet=True))
    contract.append(lake, layout.SIMULATIONS, pa.Table.from_pylist(simulated_rows(RUN)))
    return lake


def read(name: str, names: dict[str, Any]) -> tuple[list[Ran], str]:
    """Run a notebook, look at its figures before they are closed; its cells, and all that they printed."""
    ran = []
    for one in execute(ROOT / "notebooks" / f"{name}.py", names):
        for figure in one.figures:
            assert figure.axes, one.cell.text
            assert all(axis.has_data() for axis in figure.axes), one.cell.text
        ran.append(one)
    assert sum(len(one.figures) for one in ran) == FIGURES[name]
    return ran, "".join(one.printed for one in ran)


@pytest.fixture
def names(spark: SparkSession, lake: Lake) -> dict[str, Any]:
    return {"spark": spark, "widgets": {"lake": lake.root}}


def test_every_notebook_is_among_these() -> None:
    assert {path.stem for path in (ROOT / "notebooks").glob("*.py")} == set(FIGURES)


def test_quick_start(names: dict[str, Any]) -> None:
    _, printed = read("quick_start", names)
    assert list(names["labels"]["impressions"]) == [ROWS] * 3
    assert list(names["labels"]["click_rate"]) == [0.5] * 3
    assert names["reasons"].to_dict("records") == [{"log": "plays", "reason": "bad_watch", "count": 3}]
    kept = "connection_share, ctr round 1: keeps all 62%, hidden.0 50%, hidden.1 75%; validation 0.72000  <- chosen"
    assert kept in printed
    assert set(zip(names["comparison"]["model"], names["comparison"]["metric"], strict=True)) == {
        (model, metric) for model in MODELS for metric in ("mse", "auc")
    }


def test_labels(names: dict[str, Any]) -> None:
    read("labels", names)
    days = names["days"]
    assert list(days["impressions"]) == [ROWS] * 3
    assert list(days["unlabelled_share"]) == [0.5] * 3, "every second click has a label"
    assert list(days["quarantined"]) == [1] * 3
    assert names["histogram"]["clicks"].sum() == 3 * ROWS // 4


def test_masks(names: dict[str, Any]) -> None:
    ran, _ = read("masks", names)
    whole = names["overlap"].query("layer == 'all'").set_index("round")
    assert whole.loc[1.0, "above_chance"] == pytest.approx(0.7 - 0.4)
    shown = [table for one in ran for table in one.tables]
    assert "given" in set(shown[0]["round"]), "the masks that the model was given"
    conflict = names["conflict"].set_index("layer")
    assert conflict.loc["hidden.0", "cosine_theta"] == pytest.approx(0.2)
    assert conflict.loc["embedding", "negative_final"] == pytest.approx(0.3)
    assert set(names["inputs"]["input"]) == {"user_id", "user_id x video_id"}


def test_comparison(names: dict[str, Any]) -> None:
    _, printed = read("comparison", names)
    rows = names["comparison"].set_index(["task", "metric", "model"])
    better = rows.loc["ctr", "auc", "connection_share"]
    assert (better["rank"], better["better"], better["settled"]) == (1, True, True)
    assert better["low"] < better["difference"] < better["high"]
    assert rows.loc["cvr", "ece", "connection_share"]["settled"] is None, "it has no paired difference"
    assert set(names["slices"]["slice"]) == {"all", "prediction", "length_seconds", *HISTORIES}
    assert "run `ncs compare`" in printed


def test_ranking(names: dict[str, Any]) -> None:
    _, printed = read("ranking", names)
    assert "as it should be" in printed
    assert set(names["final"]["arm"]) == {"1) one, one", "2) one, two", "A/A", "oracle", "random"}
    assert names["final"]["day"].unique().tolist() == [2]


def test_widgets_of_databricks_are_asked(spark: SparkSession, lake: Lake) -> None:
    asked = {}

    class Widgets:
        def text(self, name: str, default: str) -> None:
            asked[name] = default

        def get(self, name: str) -> str:
            return {"lake": lake.root, "run": "toy-9"}[name]

    class Dbutils:
        widgets = Widgets()

    with pytest.raises(DataError, match="has no run toy-9; it has toy-1"):
        start({"spark": spark, "dbutils": Dbutils()})
    assert asked == {"lake": "lake/demo", "run": ""}


def test_a_notebook_becomes_a_page(lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "own.py"
    code = "from matplotlib import pyplot as plt\nprint(6 * 7, '<')\nplt.plot([1, 2])\nplt.title('up & on')\n"
    code += "import pandas as pd\ndisplay(pd.DataFrame({'x': ['a <b>']}))\n"
    own.write_text(f"# Databricks notebook source\n# MAGIC %md\n# MAGIC # My *words*\n\n# COMMAND ----------\n\n{code}")
    notebook.run(Job(CONF, lake, CONF.logs.days, quiet=True), str(own))
    path = Path(lake.uri("reports", "notebooks", "own.html"))
    assert f"notebook: {path}" in capsys.readouterr().out
    page = path.read_text()
    assert "<h1>My <em>words</em></h1>" in page
    assert "<td>a &lt;b&gt;</td>" in page
    assert page.count("<title>up &amp; on</title>") == page.count("<svg ") == 1
    assert "42 &lt;" in page
    assert not re.search(r"""(href|src)=["']?https?:""", page)


def test_what_cannot_be_run_is_named(lake: Lake, tmp_path: Path) -> None:
    job = Job(CONF, lake, CONF.logs.days, quiet=True)
    with pytest.raises(ConfigError, match="no notebook 'lables'; there are comparison, labels, masks, "):
        notebook.run(job, "lables")
    broken = tmp_path / "broken.py"
    broken.write_text("print(1)\n")
    with pytest.raises(DataError, match="no notebook in Databricks' source format"):
        cells(broken)
    broken.write_text("# Databricks notebook source\nx = 1\n# COMMAND ----------\n1 / 0\n")
    with pytest.raises(DataError, match=r"broken.py, cell 2: ZeroDivisionError: division by zero"):
        list(execute(broken, {}))


def test_views_are_written_and_created_with_comments(
    spark: SparkSession, lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    views.run(Job(CONF, lake, CONF.logs.days, quiet=True))
    printed = capsys.readouterr().out
    assert "v_daily_label_quality: 3 rows." in printed
    sql = Path(lake.uri("views.sql")).read_text()
    assert sql.count("CREATE OR REPLACE TEMPORARY VIEW") == 4
    spark.sql("CREATE SCHEMA IF NOT EXISTS analysts")
    try:
        into = CONF.with_keys({"views.into": "analysts"})
        views.run(Job(into, lake, CONF.logs.days, quiet=True))
        described = {row.col_name: row.comment for row in spark.sql("DESCRIBE analysts.v_simulation").collect()}
        assert described["paired_gain"].endswith("over all users, each asked by every arm")
        (days,) = spark.sql("SELECT count(*) FROM analysts.v_daily_label_quality WHERE click_rate = 0.5").first() or ()
        assert days == 3
    finally:
        spark.sql("DROP SCHEMA analysts CASCADE")
    with pytest.raises(ConfigError, match=r"views\.into: the catalog has no schema 'elsewhere'"):
        views.run(Job(CONF.with_keys({"views.into": "elsewhere"}), lake, CONF.logs.days, quiet=True))


def test_a_lake_with_nothing_has_no_views(spark: SparkSession, tmp_path: Path) -> None:
    job = Job(CONF, Lake.at(str(tmp_path)), CONF.logs.days, quiet=True)
    with pytest.raises(DataError, match="no table that a view reads; run `ncs run` first"):
        views.run(job)
    with pytest.raises(DataError, match="has no evaluated run; run `ncs run`"):
        start({"spark": spark, "widgets": {"lake": str(tmp_path)}})


@pytest.mark.parametrize("name", FIGURES)
def test_a_notebook_first_installs_what_a_cluster_lacks(name: str) -> None:
    """The package from the repository, and pinned packages alone: the runtime's own stay as they are."""
    install = next(cell for cell in cells(ROOT / "notebooks" / f"{name}.py") if "%pip" in cell.text)
    assert not install.is_code
    _, _, command = install.text.strip("`").partition("%pip install ")
    options, _, packages = command.partition(" .. ")
    assert options == "--quiet --no-deps --constraint ../requirements.txt"
    assert (ROOT / "notebooks" / ".." / "setup.cfg").exists()
    pinned = {line.partition("==")[0] for line in (ROOT / "requirements.txt").read_text().splitlines()}
    assert {"deltalake", "sqlglot"} <= set(packages.split()) <= pinned
