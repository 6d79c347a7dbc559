"""The stage that compares: table and page, what is skipped and what is refused."""

import io
import re
from contextlib import redirect_stdout
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from jobs.job import Job
from jobs.pipeline.evaluate import run
from jobs.pipeline.runs import folders
from jobs.pipeline.status import status
from ncs.errors import DataError
from ncs.evaluation import scored_rows
from ncs.lake import contract, layout, storage
from ncs.lake.documents import RunDescription
from ncs.lake.layout import Lake
from ncs.lake.status import PartitionStatus
from ncs.tasks import named_tasks
from tests.evaluation.factories import (
    CONF,
    MODELS,
    ROWS,
    RUN,
    Page,
    described,
    rows_of_test_days,
    simulated,
    text_of,
    write_lake,
    write_truth,
)
from validation.verdicts import Finding, Verdict, keep


def compare(lake: Lake) -> list[str]:
    """Run the stage; the lines that it prints."""
    with redirect_stdout(io.StringIO()) as printed:
        run(Job(CONF, lake, CONF.logs.days, quiet=True))
    return printed.getvalue().splitlines()


def page_of(lake: Lake) -> str:
    return Path(lake.uri("reports", RUN, "report.html")).read_text()


@pytest.fixture(scope="module")
def compared(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, list[str], str]:
    """A lake, what the first comparison printed, and its page."""
    lake = write_lake(Lake.at(str(tmp_path_factory.mktemp("lake"))))
    printed = compare(lake)
    return lake, printed, page_of(lake)


def test_compares_once_and_skips_what_is_there(spark: SparkSession, compared: tuple[Lake, list[str], str]) -> None:
    lake, printed, _ = compared
    assert [line.split()[0] for line in printed[: printed.index("")] if "--" not in line] == ["model", *MODELS]
    said = ["verdict: use connection_share instead of single_task", "  CVR MSE", "  CTR AUC", "how sure: over 40 test"]
    said += ["next: train several seeds: ncs compare --models single_task,connection_share --seeds 5", "report: "]
    assert [line[: len(words)] for line, words in zip(printed[printed.index("") + 1 :], said, strict=True)] == said
    before = lake.version(layout.EVALUATIONS)
    assert compare(lake) == printed
    assert lake.version(layout.EVALUATIONS) == before, "nothing was written again"
    write_truth(lake)
    storage.remove(lake.uri("reports"))
    *table, last = compare(lake)
    assert last == f"report: {lake.uri('reports', RUN, 'report.html')}"
    assert "reachable end" in page_of(lake)
    table = table[: table.index("")]
    assert [line.split()[0] for line in table[2:]] == [*MODELS, "(truth)"]
    assert len({line.index("0.") for line in table[2:]}) == 1, "columns stand below each other"

    rows = {(r.model, r.metric): r for r in spark.read.format("delta").load(lake.uri(layout.EVALUATIONS)).collect()}
    assert len(rows) == 3 * 4 + 1, "the truth alone puts labels in an order"
    errors = [(row["cvr"] - 0.4) ** 2 for row in rows_of_test_days() if row["cvr"] is not None]
    assert rows["single_task", "mse"].value == pytest.approx(sum(errors) / len(errors))
    assert (rows["truth", "mse"].value, rows["truth", "auc"].value) == (0.0, 1.0)
    assert (rows["truth", "auc"].n, rows["truth", "mse"].n) == (ROWS, ROWS // 4), "no row that silver lacks"
    better, base = rows["connection_share", "auc"], rows["single_task", "auc"]
    assert better.gain == pytest.approx(better.value / base.value - 1)
    assert better.gain > 0.1
    assert better.baseline == "single_task"


def test_differences_are_paired_over_the_rows_and_kept(
    spark: SparkSession, compared: tuple[Lake, list[str], str]
) -> None:
    lake, *_ = compared
    rows = spark.read.format("delta").load(lake.uri(layout.RUN_DIFFERENCES)).collect()
    found = {(row.model, row.reference, row.metric): row for row in rows}
    assert len(found) == 2 * 3, "both ways, in AUC, MSE and log loss"
    area, back = found["connection_share", "single_task", "auc"], found["single_task", "connection_share", "auc"]
    assert (area.n, area.run_id, area.reference_run, area.better, back.better) == (ROWS, RUN, RUN, True, False)
    assert (back.difference, back.low, back.high) == pytest.approx((-area.difference, -area.high, -area.low))
    figures = spark.read.format("delta").load(lake.uri(layout.EVALUATIONS)).where("metric = 'auc'").collect()
    value = {row.model: row.value for row in figures}
    assert area.difference == pytest.approx(value["connection_share"] - value["single_task"])
    equal = found["connection_share", "single_task", "mse"]  # both predict 0.4 everywhere
    assert (equal.difference, equal.low, equal.high, equal.better, equal.n) == (0.0, 0.0, 0.0, None, ROWS // 4)


def test_models_that_score_other_rows_are_not_compared_row_by_row(spark: SparkSession) -> None:
    tasks = list(named_tasks(CONF).values())
    rows = [("a", "1", 1, 0.5, 0.5, 0.5), ("a", "2", 0, None, 0.5, 0.5), ("b", "1", 1, 0.5, 0.4, 0.4)]
    schema = "model string, impression_id string, clicked int, cvr double, pctr double, pcvr double"
    with pytest.raises(DataError, match="b and a on different impressions"):
        scored_rows.collect(spark.createDataFrame(rows, schema), ["a", "b"], tasks, rows=2, most=10)
    many = [("a", str(n), n % 2, None, 0.5, n / 4000) for n in range(4000)]
    drawn = scored_rows.collect(spark.createDataFrame(many, schema), ["a"], tasks, rows=4000, most=1000)
    taken = drawn.predictions["a"]["cvr"]
    assert 850 < len(taken) < 1150
    assert taken.mean() == pytest.approx(0.5, abs=0.05)


def part_of(found: list[PartitionStatus], table: str) -> PartitionStatus:
    """What status shows of the run in a table."""
    (part,) = [part for part in found if (part.table, part.day) == (table, RUN)]
    return part


def test_the_status_ends_with_the_run_that_was_evaluated(compared: tuple[Lake, list[str], str]) -> None:
    lake, *_ = compared
    found = {part.table: part for part in status(Job(CONF, lake, CONF.logs.days)) if part.day == RUN}
    predictions, evaluation = found[layout.PREDICTIONS], found[layout.EVALUATIONS]
    assert predictions.rows == len(MODELS) * ROWS
    assert evaluation.stale == []
    assert evaluation.provenance[f"{layout.PREDICTIONS}/{RUN}"] == predictions.version
    other = CONF.with_keys({"slices": {"video_impressions": [1, 10]}})
    evaluation = part_of(status(Job(other, lake, CONF.logs.days)), layout.EVALUATIONS)
    assert evaluation.stale == ["slices"]
    path = lake.uri("models", RUN, "run.json")
    storage.write_json(path, described(conf={**CONF.model_dump(), "momentum": 0.9}))
    last = part_of(status(Job(CONF, lake, CONF.logs.days)), layout.PREDICTIONS)
    storage.write_json(path, described())
    assert last.rows == len(MODELS) * ROWS
    assert "momentum is no key" in last.stale[0]


def test_the_status_shows_what_the_gate_said_of_the_predictions(compared: tuple[Lake, list[str], str]) -> None:
    lake, *_ = compared
    predictions = part_of(status(Job(CONF, lake, CONF.logs.days)), layout.PREDICTIONS)
    assert predictions.gate == "not checked"
    assert predictions.version is not None
    first, last, late = "2022-04-15", "2022-04-16", Finding("p_ctr", "is a probability", "1.2", "0..1")
    passed = Verdict(layout.PREDICTIONS, predictions.version, f"{first}..{last}", "d", True)
    keep(lake, [passed], "r1")
    keep(lake, [replace(passed, version=passed.version + 1, success=False, findings=[late])], "of another run")
    predictions = part_of(status(Job(CONF, lake, CONF.logs.days)), layout.PREDICTIONS)
    assert predictions.gate == "pass"
    keep(lake, [replace(passed, success=False, findings=[replace(late, days=[last])])], "r2")
    predictions = part_of(status(Job(CONF, lake, CONF.logs.days)), layout.PREDICTIONS)
    assert predictions.gate == "stop"  # one of its days is enough


def test_a_simulation_comes_into_the_page_without_another_evaluation(compared: tuple[Lake, list[str], str]) -> None:
    lake, *_ = compared
    before = lake.version(layout.EVALUATIONS)
    foreign = simulated(datetime(2026, 1, 3, tzinfo=UTC), "s3", run_id="another-1")
    contract.append(
        lake, layout.SIMULATIONS, pa.Table.from_pylist([*simulated(datetime(2026, 1, 1, tzinfo=UTC)), *foreign])
    )
    compare(lake)
    assert "2) single_task, connection_share" in text_of(page_of(lake))
    assert lake.version(layout.EVALUATIONS) == before
    written = Path(lake.uri("reports", RUN, "report.html")).stat().st_mtime_ns
    compare(lake)
    assert Path(lake.uri("reports", RUN, "report.html")).stat().st_mtime_ns == written, "nothing is new"


def test_the_page_has_everything_in_it(compared: tuple[Lake, list[str], str]) -> None:
    *_, page = compared
    found = Page(page)
    assert found.open == []
    assert found.links == ["../index.html"]
    assert not found.tags & {"script", "link", "img", "iframe"}
    assert not re.search(r"@import|url\((?!#)", page)
    headings = [
        "comparison",
        "models",
        "others",
        "scores",
        "calibration",
        "slices",
        "learning",
        "masks-connection_share",
        "labels",
        "lineage",
    ]
    assert re.findall(r'<h2 id="(.*?)"', page) == headings
    pictures = [" ".join(ElementTree.fromstring(one).itertext()) for one in re.findall(r"<svg.*?</svg>", page, re.S)]
    assert len(pictures) == 2 + 2 + 2 + 6 + 4 + 8 + 1 + 4
    (chosen,) = [one for one in pictures if "The chosen masks" in one]
    assert all(word in chosen for word in ("hidden.0", "hidden.1", "shared", "CTR only", "CVR only", "dead"))
    text = text_of(page)
    assert "neuron_share not in this run" in text
    assert "0.13531" in text
    assert "reachable end" not in text, "there is no truth in this lake yet"
    assert "single_task CVR 2, CTR 2; connection_share CVR 2.25, CTR 2.25" in text
    assert f"trained on {CONF.train_days} · compared on {CONF.test_days}" in text
    assert f"{layout.PREDICTIONS} 0" in text
    assert f"{layout.SAMPLES} 0" in text
    assert "weight: 4.0" in text
    assert "A control" not in text


def test_what_is_missing_is_named(spark: SparkSession, lake: Lake) -> None:
    with pytest.raises(DataError, match="no trained run; run `ncs train`"):
        compare(lake)
    write_lake(lake)
    storage.write_json(lake.uri("models", RUN, "run.json"), described(models=[*MODELS, "layer_share"]))
    with pytest.raises(DataError, match="no predictions of layer_share; run `ncs predict`"):
        compare(lake)
    storage.write_json(lake.uri("models", "toy-2", "run.json"), described(run_id="toy-2"))
    storage.write_json(lake.uri("models", "latest.json"), {"run_id": "toy-2"})
    with pytest.raises(DataError, match="gold/predictions has nothing of run toy-2; run `ncs predict`"):
        compare(lake)
    assert not lake.has(layout.EVALUATIONS)
    assert not storage.exists(lake.uri("reports"))


def test_a_model_is_found_by_its_definition() -> None:
    run = RunDescription.model_validate(described(models=["single_task", "layer_share_theta"]))
    key = CONF.models["layer_share_theta"].key("layer_share_theta")
    assert folders(run, CONF) == {"single_task": "single_task", "layer_share_theta": key}
    assert key != "layer_share_theta"
    with pytest.raises(DataError, match="run toy-1 holds mine, which its configuration no longer names"):
        folders(RunDescription.model_validate(described(models=["mine"])), CONF)
