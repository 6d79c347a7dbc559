"""The stage that compares, on a small lake made by hand: table, report, what is skipped and what is refused."""

import copy
import io
import json
import re
from contextlib import redirect_stdout
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import CommitProperties, write_deltalake
from pyspark.sql import SparkSession

from jobs.evaluate import run
from jobs.job import Job
from jobs.runs import folders
from ncs.days import Days
from ncs.errors import DataError
from ncs.evaluation.charts import learning_curves, trained_epochs
from ncs.evaluation.metrics import Figure
from ncs.evaluation.report import LabelDays, Trained, costs, finding, label_days, render
from ncs.lake import layout, storage
from ncs.lake.layout import Lake, Record, user_metadata
from ncs.tasks import tasks_of
from tests.toy import toy_conf

RUN = "toy-1"
SYSTEMS = ["single_task", "connection_share"]
CONF = toy_conf(f"train.system=[{','.join(SYSTEMS)}]", "tasks.cvr.weight=4.0")
ROWS = 40
"""Impressions of a day, every second clicked, every fourth with a CVR label."""


def samples() -> list[dict[str, Any]]:
    return [
        {
            "impression_id": f"{day}-{n:02d}",
            "user_id": n,
            "video_id": n % 7,
            "day": day,
            "clicked": n % 2,
            "cvr": n / ROWS if n % 4 == 1 else None,
        }
        for day in CONF.logs.days
        for n in range(ROWS)
    ]


def rows_of_test_days() -> list[dict[str, Any]]:
    return [row for row in samples() if row["day"] in CONF.test_days]


def predictions(systems: list[str]) -> list[dict[str, Any]]:
    """Those of the second system are the better ones."""
    return [
        {
            "run_id": RUN,
            "system": system,
            **{key: row[key] for key in ("impression_id", "user_id", "video_id", "day")},
            "pctr": 0.3 + 0.02 * (row["user_id"] % 9) + 0.1 * row["clicked"] * (system != SYSTEMS[0]),
            "pcvr": 0.4,
        }
        for system in systems
        for row in rows_of_test_days()
    ]


def line(phase: str, epoch: int, task: str | None = None, number: int | None = None, samples: int = 100) -> dict:
    tasks = [task] if task else ["ctr", "cvr"]
    scores = {"ctr": ("ctr_auc", 0.7 + 0.01 * epoch), "cvr": ("cvr_mse", 0.2 - 0.01 * epoch)}
    loss = {one: {"ctr": 0.6, "cvr": 0.8}[one] for one in tasks}
    head = {"phase": phase, "task": task, "round": number, "epoch": epoch, "loss": loss}
    return {
        **head,
        "validation": dict(scores[one] for one in tasks),
        "seconds": 2.0,
        "samples": samples,
        "wait_share": 0.25,
    }


METRICS = {
    "single_task": [line("joint", epoch, task) for task in ("ctr", "cvr") for epoch in (1, 2)],
    "connection_share": [
        line("theta", 1, samples=25),
        *[line("search", 1, task, number) for task in ("ctr", "cvr") for number in (0, 1)],
        *[line("joint", epoch) for epoch in (1, 2)],
    ],
}


def by_layer(first: float, second: float) -> dict[str, float]:
    return {"all": (first + second) / 2, "hidden.0": first, "hidden.1": second}


MASKS = {
    "layers": {"hidden.0": 64, "hidden.1": 64},
    "rounds": {
        task: [
            {"round": 0, "density": by_layer(1.0, 1.0), "validation": scores[0]},
            {"round": 1, "density": by_layer(0.5, 0.75), "validation": scores[1]},
        ]
        for task, scores in {"ctr": (0.70, 0.72), "cvr": (0.20, 0.21)}.items()
    },
    "chosen": {"ctr": 1, "cvr": 0},
    "density": {"ctr": by_layer(0.5, 0.75), "cvr": by_layer(1.0, 1.0)},
    "overlap": [
        {"round": 0, "jaccard": by_layer(1.0, 1.0), "chance": by_layer(1.0, 1.0)},
        {"round": 1, "jaccard": by_layer(0.6, 0.8), "chance": by_layer(0.3, 0.5)},
    ],
    "chosen_overlap": {
        "jaccard": by_layer(0.5, 0.75),
        "chance": by_layer(0.5, 0.75),
        "shared": by_layer(0.5, 0.75),
        "ctr_only": by_layer(0.0, 0.0),
        "cvr_only": by_layer(0.25, 0.25),
    },
}


def described(**changes: Any) -> dict[str, Any]:
    tables = {layout.VOCABULARY: 0, "gold/ctr_samples": 2, "gold/cvr_samples": 2}
    lineage = {"tables": tables, "ncs": "0.1.0", "git": None, "packages": {"numpy": "1.26.4"}, "seed": 7, "workers": 1}
    found = {"run_id": RUN, "name": "toy", "systems": SYSTEMS, "conf": CONF.model_dump(), "lineage": lineage}
    return {**found, **changes}


def put(lake: Lake, table: str, rows: list[dict[str, Any]], types: dict[str, pa.DataType], *keys: object) -> None:
    """A table as a stage leaves it, with a record for each key; without Spark, which is slow with small things."""
    records = [Record("test", str(key), {}) for key in keys]
    write_deltalake(
        lake.uri(table),
        pa.Table.from_pylist(rows, schema=pa.schema(list(types.items()))),
        commit_properties=CommitProperties(custom_metadata={"userMetadata": user_metadata(records)}),
    )


def write_lake(lake: Lake) -> Lake:
    """What the stages before this one leave, as far as this one, and the notebook, read it."""
    text, whole, real = pa.string(), pa.int64(), pa.float64()
    who = {"impression_id": text, "user_id": whole, "video_id": whole, "day": pa.date32()}
    put(lake, layout.SAMPLES, samples(), {**who, "clicked": pa.int32(), "cvr": real}, *CONF.logs.days)
    bad = [{"log": "plays", "day": day, "reason": "bad_watch", "row": "{}"} for day in CONF.logs.days]
    put(lake, layout.QUARANTINE, bad, {"log": text, "day": pa.date32(), "reason": text, "row": text}, *CONF.logs.days)
    types = {"run_id": text, "system": text, **who, "pctr": real, "pcvr": real}
    put(lake, layout.PREDICTIONS, predictions(SYSTEMS), types, RUN)
    storage.write_json(lake.uri("models", "latest.json"), {"run_id": RUN})
    storage.write_json(lake.uri("models", RUN, "run.json"), described())
    for system, lines in METRICS.items():
        content = "".join(json.dumps(one) + "\n" for one in lines)
        storage.write_bytes(lake.uri("models", RUN, system, "metrics.jsonl"), content.encode())
    storage.write_json(lake.uri("models", RUN, "connection_share", "masks.json"), MASKS)
    return lake


def write_truth(lake: Lake) -> None:
    rows = [
        {
            "impression_id": row["impression_id"],
            "click_probability": 0.9 if row["clicked"] else 0.1,
            "expected_cvr": row["cvr"] or 0.5,
        }
        for row in rows_of_test_days()
    ]
    rows.append({"impression_id": "one that was set aside", "click_probability": 0.5, "expected_cvr": 0.5})
    for day in CONF.test_days:
        folder = Path(lake.uri("landing", "truth", f"day={day}"))
        folder.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows), folder / "part.parquet")


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


class Page(HTMLParser):
    """Elements that would reach out, and whether every element is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [v for k, v in attrs if k in ("src", "href", "xlink:href") and v and not v.startswith("#")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_compares_once_and_skips_what_is_there(spark: SparkSession, compared: tuple[Lake, list[str], str]) -> None:
    lake, printed, _ = compared
    assert [line.split()[0] for line in printed if "--" not in line] == ["system", *SYSTEMS, "report:"]
    assert compare(lake) == printed
    assert lake.version(layout.EVALUATIONS) == 0, "nothing was written again"
    write_truth(lake)
    storage.remove(lake.uri("reports"))
    *table, last = compare(lake)
    assert last == f"report: {lake.uri('reports', RUN, 'report.html')}"
    assert "reachable end" in page_of(lake)
    assert [line.split()[0] for line in table[2:]] == [*SYSTEMS, "(truth)"]
    assert len({line.index("0.") for line in table[2:]}) == 1, "columns stand below each other"

    rows = {(r.system, r.metric): r for r in spark.read.format("delta").load(lake.uri(layout.EVALUATIONS)).collect()}
    assert len(rows) == 9
    errors = [(row["cvr"] - 0.4) ** 2 for row in rows_of_test_days() if row["cvr"] is not None]
    assert rows["single_task", "mse"].value == pytest.approx(sum(errors) / len(errors))
    assert (rows["truth", "mse"].value, rows["truth", "auc"].value) == (0.0, 1.0)
    assert (rows["truth", "auc"].n, rows["truth", "mse"].n) == (ROWS, ROWS // 4), "no row that silver lacks"
    better, base = rows["connection_share", "auc"], rows["single_task", "auc"]
    assert better.gain == pytest.approx(better.value / base.value - 1)
    assert better.gain > 0.1
    assert better.baseline == "single_task"


def test_the_page_has_everything_in_it(compared: tuple[Lake, list[str], str]) -> None:
    *_, page = compared
    found = Page(page)
    assert found.open == []
    assert found.links == []
    assert not found.tags & {"script", "link", "img", "iframe"}
    assert not re.search(r"@import|url\((?!#)", page)
    headings = ["comparison", "learning", "masks-connection_share", "labels", "lineage"]
    assert re.findall(r'<h2 id="(.*?)"', page) == headings
    pictures = [" ".join(ElementTree.fromstring(one).itertext()) for one in re.findall(r"<svg.*?</svg>", page, re.S)]
    assert len(pictures) == 2 + 4 + 6 + 3
    (chosen,) = [one for one in pictures if "The chosen masks" in one]
    assert all(word in chosen for word in ("hidden.0", "hidden.1", "shared", "CTR only", "CVR only", "dead"))
    text = text_of(page)
    assert "neuron_share not in this run" in text
    assert "0.13531" in text
    assert "reachable end" not in text, "there is no truth in this lake yet"
    assert "single_task 2, connection_share 2.25" in text
    assert f"trained on {CONF.train_days} · compared on {CONF.test_days}" in text
    assert f"{layout.PREDICTIONS} 0" in text
    assert f"{layout.SAMPLES} 0" in text
    assert "weight: 4.0" in text
    assert "A control" not in text


def test_what_is_missing_is_named(spark: SparkSession, lake: Lake) -> None:
    with pytest.raises(DataError, match="no trained run; run `ncs train`"):
        compare(lake)
    write_lake(lake)
    storage.write_json(lake.uri("models", RUN, "run.json"), described(systems=[*SYSTEMS, "layer_share"]))
    with pytest.raises(DataError, match="no predictions of layer_share; run `ncs predict`"):
        compare(lake)
    storage.write_json(lake.uri("models", RUN, "run.json"), described(run_id="toy-2"))
    with pytest.raises(DataError, match="gold/predictions has nothing of run toy-2; run `ncs predict`"):
        compare(lake)
    assert not lake.has(layout.EVALUATIONS)
    assert not storage.exists(lake.uri("reports"))


def test_labels_are_counted_by_day(spark: SparkSession) -> None:
    first, second = Days.parse("2022-04-08..2022-04-09")
    rows = [(second, 0, None), (first, 1, 0.0), (first, 1, 0.05), (first, 1, 1.0), (first, 1, None), (first, 0, None)]
    found = label_days(spark.createDataFrame(rows, "day date, clicked int, cvr double"))
    full = {"impressions": 5, "clicks": 4, "click_rate": 0.8, "labelled": 3, "mean_cvr": pytest.approx(0.35)}
    empty = {"impressions": 1, "clicks": 0, "click_rate": 0.0, "labelled": 0, "mean_cvr": None}
    assert found.days == [{"day": first, **full}, {"day": second, **empty}]
    assert found.histograms == {str(first): [1, 1, *[0] * 17, 1], str(second): [0] * 20}


def figure(system: str, metric: str, value: float, half: float = 0.01) -> Figure:
    task = "ctr" if metric == "auc" else "cvr"
    return Figure(RUN, system, task, metric, value, value - half, value + half, 100, "single_task", 0.0)


def test_no_win_is_claimed_where_intervals_overlap() -> None:
    figures = [figure(system, "mse", value) for system, value in (("a", 0.20), ("b", 0.15), ("c", 0.16))]
    figures += [figure(system, "auc", value) for system, value in (("a", 0.70), ("b", 0.80), ("c", 0.75))]
    by_key, tasks = {(one.system, one.task): one for one in figures}, tasks_of(CONF)
    assert finding(by_key, ["a", "b", "c"], tasks["cvr"]) == (
        "CVR MSE: the best figure is that of b, but its interval overlaps that of c: no win over it is claimed."
    )
    assert finding(by_key, ["a", "b", "c"], tasks["ctr"]) == (
        "CTR AUC: b is best, and its interval overlaps that of no other system."
    )


EMPTY = {"impressions": 9, "clicks": 0, "click_rate": 0.0, "labelled": 0, "mean_cvr": None}
LABELS = LabelDays([{"day": date(2022, 4, 8), **EMPTY}], {"2022-04-08": [0] * 20})


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))


def test_controls_show_what_they_were_given() -> None:
    """No mask at the end, masks other than those found, a last round that was not validated."""
    unseen = copy.deepcopy(MASKS)
    unseen["chosen"] = {"ctr": 1, "cvr": 1}
    for task in ("ctr", "cvr"):
        unseen["rounds"][task][1]["validation"] = None
    unseen["density"] = {task: by_layer(0.5, 0.75) for task in ("ctr", "cvr")}
    other = {**MASKS, "density": {"ctr": by_layer(1.0, 1.0), "cvr": by_layer(0.5, 0.75)}}
    given = {
        "connection_share": unseen,
        "full_share_theta": {**MASKS, "density": {}, "chosen_overlap": {}},
        "swapped_masks": other,
    }
    trained = {system: Trained(METRICS["connection_share"], masks) for system, masks in given.items()}
    figures = [figure(system, metric, 0.2) for system in given for metric in ("mse", "auc")]
    page = render(described(systems=list(given)), figures, trained, LABELS, {})
    assert Page(page).open == []
    notes = re.split(r"Masks of \w+", text_of(page))[1:]
    assert "The last round was taken unseen: a dashed line marks it." in notes[0]
    assert "A control" not in notes[0]
    assert "A control: in the end no task was given a mask." in notes[1]
    assert "The chosen masks" not in notes[1]
    assert "are others than those found; they keep CTR 100%, CVR 62%." in notes[2]


def test_a_further_task_stands_after_the_two_of_the_paper() -> None:
    conf = toy_conf("tasks.finish={label: cast(cvr >= 0.95 as float), loss: cross_entropy, weight: 2.0, metric: auc}")
    systems = ["single_task", "connection_share"]
    figures = [figure(system, metric, 0.2) for system in [*systems, "truth"] for metric in ("mse", "auc")]
    figures += [Figure(RUN, system, "finish", "auc", 0.7, 0.6, 0.8, 77, "single_task", 0.0) for system in systems]
    lines = [line("joint", epoch) for epoch in (1, 2)]
    for one in lines:
        one["loss"]["finish"], one["validation"]["finish_auc"] = 1.2, 0.6
    masks = copy.deepcopy(MASKS)
    for part in ("rounds", "chosen", "density"):
        masks[part]["finish"] = masks[part]["ctr"]
    trained = {"single_task": Trained(lines, None), "connection_share": Trained(lines, masks)}
    page = render(described(conf=conf.model_dump()), figures, trained, LABELS, {})
    assert Page(page).open == []
    text = text_of(page)
    assert text.index("CVR MSE 95 %") < text.index("CTR AUC 95 %") < text.index("FINISH AUC 95 %")
    assert "more is better; FINISH (cast(cvr &gt;= 0.95 as float)) by the area under the ROC curve, more is" in text
    assert "with a CVR label, 77 with a FINISH label)" in text
    assert "FINISH AUC: the best figure is that of single_task, but its interval overlaps" in text
    assert page.count("<svg") == 3 + 6 + 8 + 3
    for title in ("Validation FINISH AUC under the mask", "FINISH mask by layer", "Training loss of FINISH"):
        assert title in text
    truth = text[text.index("the truth") :].partition("not in this run")[0]
    assert truth.count("–") >= 4, "its figure of the further task is not known"


def test_a_system_is_found_by_its_definition() -> None:
    one = described(systems=["single_task", "layer_share_theta"])
    key = CONF.systems["layer_share_theta"].key("layer_share_theta")
    assert folders(one, CONF) == {"single_task": "single_task", "layer_share_theta": key}
    assert key != "layer_share_theta"
    with pytest.raises(DataError, match="run toy-1 holds mine, which its configuration no longer names"):
        folders(described(systems=["mine"]), CONF)


def test_what_comes_from_data_is_escaped() -> None:
    figures = [figure("single_task", metric, 0.2) for metric in ("mse", "auc")]
    one = described(systems=["single_task"], name="<script>alert(1)</script>")
    trained = {"single_task": Trained(METRICS["single_task"], None)}
    page = render(one, figures, trained, LABELS, {"gold/<b>": 3})
    assert "&lt;script&gt;" in page
    assert "gold/&lt;b&gt;" in page
    assert not Page(page).tags & {"script", "b"}
    assert "masks-" not in page, "a system without masks has none to show"


def test_theta_counts_as_far_as_it_came() -> None:
    epochs, lines = trained_epochs(METRICS["connection_share"], "cvr")
    assert epochs == [0.25, 1.25, 2.25]
    assert [one["phase"] for one in lines] == ["theta", "joint", "joint"]


def test_a_task_that_learns_from_another_s_samples_is_validated_all_the_same() -> None:
    lines = [line("joint", 1), {**line("joint", 2), "loss": {"ctr": 0.6}}]
    epochs, mine = trained_epochs(lines, "cvr")
    assert (epochs, mine) == ([1.0, 2.0], lines)
    for panel in learning_curves(
        list(tasks_of(CONF).values()), {"esmm": lines[1:]}, {"esmm": {"ctr": 1.0, "cvr": 4.0}}
    ):
        assert panel.startswith("<svg")


def test_costs_are_those_of_each_phase() -> None:
    rows = {row["phase"]: row for row in costs("x", METRICS["connection_share"])}
    assert list(rows) == ["theta", "search, CTR", "search, CVR", "joint"]
    assert (rows["joint"]["epochs"], rows["joint"]["samples"], rows["joint"]["seconds"]) == (2, 200, 4.0)
    assert (rows["joint"]["rate"], rows["joint"]["waited"]) == (50.0, 0.25)
