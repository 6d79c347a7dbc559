"""The report: what it says of labels, figures, masks, costs, and of tasks and controls beside the usual ones."""

import base64
import copy
import hashlib
import re
from datetime import date, datetime
from itertools import permutations
from typing import Any
from xml.etree import ElementTree

import pytest
from matplotlib.axes import Axes
from pyspark.sql import SparkSession

from ncs.days import Days
from ncs.evaluation import index
from ncs.evaluation.charts import learning_curves, trained_epochs
from ncs.evaluation.label_days import LabelDays, label_days
from ncs.evaluation.models import legend_name
from ncs.evaluation.report import Quality, Report, Trained, render
from ncs.evaluation.svg import svg
from ncs.evaluation.trained import costs, unsound_models
from ncs.evaluation.verdict import Evidence
from ncs.lake.documents import RunDescription
from ncs.lake.tables.rows import Difference, Figure
from ncs.tasks import in_order, named_tasks
from tests.evaluation.factories import (
    CONF,
    CONFLICT,
    MASKS,
    METRICS,
    MODELS,
    RUN,
    Page,
    by_layer,
    described,
    in_bins,
    line,
    simulated,
    text_of,
)
from tests.factories import ROOT, toy_conf


def test_labels_are_counted_by_day(spark: SparkSession) -> None:
    first, second = Days.parse("2022-04-08..2022-04-09")
    rows = [(second, 0, None), (first, 1, 0.0), (first, 1, 0.05), (first, 1, 1.0), (first, 1, None), (first, 0, None)]
    found = label_days(spark.createDataFrame(rows, "day date, clicked int, cvr double"))
    full = {"impressions": 5, "clicks": 4, "click_rate": 0.8, "labelled": 3, "mean_cvr": pytest.approx(0.35)}
    empty = {"impressions": 1, "clicks": 0, "click_rate": 0.0, "labelled": 0, "mean_cvr": None}
    assert found.days == [{"day": first, **full}, {"day": second, **empty}]
    assert found.histograms == {str(first): [1, 1, *[0] * 17, 1], str(second): [0] * 20}


def figure(model: str, metric: str, value: float, half: float = 0.01) -> Figure:
    task = "ctr" if metric == "auc" else "cvr"
    return Figure(RUN, model, task, metric, value, value - half, value + half, 100, "single_task", 0.0)


def evidence(models: list[str], figures: list[Figure], half: float = 0.01) -> Evidence:
    """Differences of the figures, with intervals of the same width all over."""
    by_key = {(one.model, one.task, one.metric): one.value for one in figures}
    found = []
    for model, reference in permutations(models, 2):
        for task, metric in (("cvr", "mse"), ("ctr", "auc")):
            value = by_key[model, task, metric] - by_key[reference, task, metric]
            better = None if abs(value) <= half else (value > 0) == (metric == "auc")
            found.append(Difference(model, reference, task, metric, value, 0.0, value - half, value + half, better))
    return Evidence(models, found, list(named_tasks(CONF).values()), models[0], 100)


def page_of(
    run: dict[str, Any], figures: list[Figure], trained: dict[str, Trained], tables: dict[str, int], **more: Any
) -> str:
    """A page of a run on one day."""
    return render(
        Report(
            RunDescription.model_validate(run),
            figures,
            trained,
            LABELS,
            tables,
            evidence(run["models"], figures),
            **more,
        )
    )


EMPTY = {"impressions": 9, "clicks": 0, "click_rate": 0.0, "labelled": 0, "mean_cvr": None}
LABELS = LabelDays([{"day": date(2022, 4, 8), **EMPTY}], {"2022-04-08": [0] * 20})


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
    trained = {model: Trained(METRICS["connection_share"], masks) for model, masks in given.items()}
    figures = [figure(model, metric, 0.2) for model in given for metric in ("mse", "auc")]
    page = page_of(described(models=list(given)), figures, trained, {})
    assert Page(page).open == []
    notes = re.split(r"Masks of \w+", text_of(page))[1:]
    assert "The last round was taken unseen: a dashed line marks it." in notes[0]
    assert "A control" not in notes[0]
    assert "A control: in the end no task was given a mask." in notes[1]
    assert "The chosen masks" not in notes[1]
    assert "are others than those found; they keep CTR 100%, CVR 62%." in notes[2]


def test_a_further_task_stands_after_the_two_of_the_paper() -> None:
    conf = toy_conf("tasks.finish={label: cast(cvr >= 0.95 as float), loss: cross_entropy, weight: 2.0, metric: auc}")
    models = ["single_task", "connection_share"]
    figures = [figure(model, metric, 0.2) for model in [*models, "truth"] for metric in ("mse", "auc")]
    figures += [Figure(RUN, model, "finish", "auc", 0.7, 0.6, 0.8, 77, "single_task", 0.0) for model in models]
    lines = [line("joint", epoch) for epoch in (1, 2)]
    for one in lines:
        one["loss"]["finish"], one["validation"]["finish_auc"] = 1.2, 0.6
    masks = copy.deepcopy(MASKS)
    for part in ("rounds", "chosen", "density"):
        masks[part]["finish"] = masks[part]["ctr"]
    trained = {"single_task": Trained(lines, None), "connection_share": Trained(lines, masks)}
    page = page_of(described(conf=conf.model_dump()), figures, trained, {})
    assert Page(page).open == []
    text = text_of(page)
    assert text.index("CVR MSE 95 %") < text.index("CTR AUC 95 %") < text.index("FINISH AUC 95 %")
    assert "more is better; FINISH (CAST(cvr &gt;= 0.95 AS FLOAT)) by the area under the ROC curve, more is" in text
    assert "with a CVR label, 77 with a FINISH label)" in text
    assert page.count("<svg") == 2 + 6 + 8 + 3 + 3
    for title in ("Validation FINISH AUC under the mask", "FINISH mask by layer", "Training loss of FINISH"):
        assert title in text
    truth = text[text.index("the truth") :].partition("not in this run")[0]
    assert truth.count("–") >= 4, "its figure of the further task is not known"


def test_simulation_and_calibration_have_sections_where_there_are_such() -> None:
    figures = [figure(model, metric, 0.2) for model in MODELS for metric in ("mse", "auc")]
    trained = {model: Trained(METRICS[model], MASKS if model == "connection_share" else None) for model in MODELS}
    bins = [row for model in MODELS for row in in_bins(model, "ctr", (30, 0.2, 0.3), (10, 0.8, 0.8))]
    page = page_of(described(), figures, trained, {}, simulation=simulated(datetime(2026, 1, 1)), slices=bins)
    found, text = Page(page), text_of(page)
    assert (found.open, found.links) == ([], [])
    assert re.findall(r'<h2 id="(.*?)"', page)[:5] == ["comparison", "models", "ranking", "scores", "calibration"]
    assert set(re.findall(r'<a href="#(.*?)"', page)) == set(re.findall(r'<h2 id="(.*?)"', page))
    ours = "2) single_task, connection_share 200 406.0 +1.50 % -3.50 – +6.50 +1.50 % +0.50 – +2.50 50.0 % 25.0 %"
    assert f"{ours} 498.6 55.1 %, 24.7 %" in text, "our figures, then the paper's of the same pair"
    assert "as it should be (p = 0.400)" in text
    assert "Calibration of pCTR" in text
    assert "Calibration of pCVR" not in text, "no bin is of that task"
    assert "pCTR: calibration error single_task 0.0307 connection_share 0.0307" in text
    without = page_of(described(), figures, trained, {})
    assert not re.search('id="(ranking|calibration)"', without)


def test_the_rows_of_each_log_are_told_of_by_day() -> None:
    clicks = {"rows": 1200, "kept": 1190, "duplicates": 3, "quarantined": {"no_impression": 5, "bad<b>": 2}}
    reconciled_days = {"2022-04-09": {"logs": {"clicks": clicks}}, "2022-04-08": {}}
    figures = [figure(model, metric, 0.2) for model in MODELS for metric in ("mse", "auc")]
    trained = {model: Trained(METRICS[model], None) for model in MODELS}
    page = page_of(described(), figures, trained, {}, reconciled_days=reconciled_days)
    assert Page(page).open == []
    assert "reasons 2022-04-09 clicks 1,200 1,190 7 3 bad&lt;b&gt; 2, no_impression 5" in text_of(page)


def test_order_slices_and_conflict_are_told_of() -> None:
    figures = [figure(model, metric, 0.2) for model in MODELS for metric in ("mse", "auc")]
    figures += [
        Figure(RUN, model, task, metric, value, value - 0.01, value + 0.01, 100, "single_task", 0.0)
        for task, metric, value in (("ctr", "gauc", 0.6125), ("ctr", "log_loss", 0.55), ("cvr", "spearman", 0.375))
        for model in MODELS
        if (model, metric) != ("connection_share", "spearman")
    ]
    trained = {model: Trained(METRICS[model], None) for model in MODELS}
    trained["connection_share"] = Trained(METRICS["connection_share"], MASKS, CONFLICT)
    head = {"run_id": RUN, "task": "ctr", "slice": "user_impressions", "log_loss": 0.5, "log_loss_error": 0.01}
    parts = [("new", 0, 1200), ("1 to 10", 1, 30)]
    rows = [{**head, "model": s, "part": part, "place": place, "n": n} for s in MODELS for part, place, n in parts]
    bins = in_bins("single_task", "ctr", (30, 0.2, 0.3))
    calibrated = [{**one, "slice": "calibrated", "prediction": 0.21} for one in bins]
    page = page_of(described(), figures, trained, {}, slices=[*rows, *bins, *calibrated])
    text = text_of(page)
    assert Page(page).open == []
    assert set(re.findall(r'<a href="#(.*?)"', page)) == set(re.findall(r'<h2 id="(.*?)"', page))
    assert "CVR Spearman 95 % interval CTR GAUC 95 % interval CTR log loss 95 % interval" in text
    assert "connection_share – 0.61250 0.60250 – 0.62250 0.55000" in text
    assert "pCTR: calibration error pCTR, calibrated: calibration error single_task 0.0930 0.0000" in text
    pictures = [" ".join(ElementTree.fromstring(one).itertext()) for one in re.findall(r"<svg.*?</svg>", page, re.S)]
    (by_user,) = [one for one in pictures if "CTR by times the user was seen" in one]
    assert all(word in by_user for word in ("new (1,200)", "1 to 10 (30)", "log loss, 95 % interval", *MODELS))
    (pulled,) = [one for one in pictures if "Do CTR and CVR pull the same way?" in one]
    assert all(word in pulled for word in ("embedding", "hidden.0", "hidden.1", "30% apart", "trained subnetworks"))
    assert "dense control" not in pulled
    assert "The control is full_share: train it beside connection_share" in text


def test_the_conflict_of_a_dense_net_stands_beside_that_of_subnetworks() -> None:
    figures = [figure(model, metric, 0.2) for model in (*MODELS, "full_share") for metric in ("mse", "auc")]
    dense = {"theta": {}, "final": {"hidden.0": {"cosine": 0.05, "negative": 0.45}}}
    trained = {
        "single_task": Trained(METRICS["single_task"], None),
        "full_share": Trained(METRICS["connection_share"][-2:], None, dense),
        "connection_share": Trained(METRICS["connection_share"], MASKS, CONFLICT),
    }
    page = page_of(described(), figures, trained, {})
    pictures = [" ".join(ElementTree.fromstring(one).itertext()) for one in re.findall(r"<svg.*?</svg>", page, re.S)]
    (pulled,) = [one for one in pictures if "Do CTR and CVR pull the same way?" in one]
    assert all(word in pulled for word in ("dense control", "45% apart", "30% apart"))
    assert "The control is full_share" not in text_of(page)


def test_what_comes_from_data_is_escaped() -> None:
    figures = [figure("single_task", metric, 0.2) for metric in ("mse", "auc")]
    one = described(models=["single_task"], name="<script>alert(1)</script>")
    trained = {"single_task": Trained(METRICS["single_task"], None)}
    page = page_of(one, figures, trained, {"gold/<b>": 3})
    assert "&lt;script&gt;" in page
    assert "gold/&lt;b&gt;" in page
    assert not Page(page).tags & {"script", "b"}
    assert "masks-" not in page, "a model without masks has none to show"


def test_theta_counts_as_far_as_it_came() -> None:
    epochs, lines = trained_epochs(METRICS["connection_share"], "cvr")
    assert epochs == [0.25, 1.25, 2.25]
    assert [one["phase"] for one in lines] == ["theta", "joint", "joint"]


def test_a_task_that_learns_from_another_s_samples_is_validated_all_the_same() -> None:
    lines = [line("joint", 1), {**line("joint", 2), "loss": {"ctr": 0.6}}]
    epochs, mine = trained_epochs(lines, "cvr")
    assert (epochs, mine) == ([1.0, 2.0], lines)
    for panel in learning_curves(
        list(named_tasks(CONF).values()), {"esmm": lines[1:]}, {"esmm": {"ctr": 1.0, "cvr": 4.0}}
    ):
        assert panel.startswith("<svg")


def test_costs_are_those_of_each_phase() -> None:
    rows = {row["phase"]: row for row in costs({"x": METRICS["connection_share"]})}
    assert list(rows) == ["theta", "search, CTR", "search, CVR", "joint"]
    assert (rows["joint"]["epochs"], rows["joint"]["samples"], rows["joint"]["seconds"]) == (2, 200, 4.0)
    assert (rows["joint"]["rate"], rows["joint"]["waited"]) == (50.0, 0.25)


def test_a_phase_that_ran_beside_other_work_is_marked() -> None:
    lines = {model: [line("joint", epoch) for epoch in (1, 2)] for model in ("a", "b", "c")}
    for one in lines["c"]:
        one["seconds"] *= 3
    assert [(row["model"], row["slow"]) for row in costs(lines)] == [("a", False), ("b", False), ("c", True)]
    steps = {model: [line("joint", 1, "ctr")] for model in ("a", "b")}
    trees = {"gbdt": [{**line("trees", 1, "ctr"), "seconds": 30.0}]}
    assert not any(row["slow"] for row in costs(steps | trees)), "trees see the rows once a tree, not once an epoch"


def test_the_first_screen_answers_which_model_how_sure_and_what_next() -> None:
    figures = [figure(model, "mse", value) for model, value in zip(MODELS, (0.20, 0.15), strict=True)]
    figures += [figure(model, "auc", 0.7) for model in MODELS]
    trained = {model: Trained(METRICS[model], None, facts={"parameters": 1234, "density": 0.5}) for model in MODELS}
    quality = [Quality("silver/samples", 8, 1, 0, ["clicked: rate; found <0.1>"])]
    links = {"quality": "../../validation/quality.html", "index": "../index.html"}
    facts = {"quality": quality, "evaluated": datetime(2026, 1, 2, 3, 4), "links": links}
    page = page_of(described(), figures, trained, {}, **facts)
    found, text = Page(page), text_of(page)
    assert (found.open, sorted(set(found.links))) == ([], sorted(links.values()))
    first = text[: text.index("What went in")]
    for said in (
        "Verdict: use connection_share instead of single_task",
        "better by 0.05000 (0.04000 to 0.06000) than single_task",
        "over 100 test impressions, with one training seed",
        "ncs compare --models single_task,connection_share --seeds 5",
        "Evaluated 2026-01-02 03:04 UTC",
        "Data quality 0 days blocked, 1 with warnings",
        f"Features {len(CONF.fields)} fields",
    ):
        assert said in first
    assert "connection_share ConnectionShare: one base network, a subnetwork for each task" in text
    assert "1,234 0.50" in text
    assert "silver/samples 8 1 0 clicked: rate; found &lt;0.1&gt;" in text
    assert "+0.05000 better +0.04000 to +0.06000" in text, "less is better, and yet + is better"


@pytest.mark.parametrize(
    "name", ["$x_{", "_hidden", "a%b<c>&\"'", "line\nbreak", "\x07bell", "数据 $", "x" * 500, "$", "\\frac"]
)
def test_a_picture_survives_whatever_a_name_is(name: str) -> None:
    task = in_order(named_tasks(toy_conf()).values())[0]

    def draw(axis: Axes) -> None:
        axis.plot([1, 2], label=legend_name(name))
        axis.barh([name, "other"], [1.0, 2.0])
        axis.set_xlabel(name)
        axis.legend()

    picture = svg(draw, f"{task.title} {name}")
    root = ElementTree.fromstring(picture)
    texts = ["".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")]
    shown = legend_name(name)
    assert any(shown.replace("\x07", "\ufffd") in text for text in texts)


def test_a_page_loads_nothing_and_runs_only_what_sorts_its_tables() -> None:
    figures = [figure(model, metric, 0.2) for model in MODELS for metric in ("mse", "auc")]
    report = page_of(described(), figures, {model: Trained(METRICS[model], None) for model in MODELS}, {})
    assert "<script" not in report
    assert "script-src" not in report
    for page in (report, index.render([]), *(path.read_text() for path in (ROOT / "ncs" / "notebook").glob("*.html"))):
        assert (
            "Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page
        )
    (script,) = re.findall(r"<script>(.*?)</script>", index.render([]), re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'\"" in index.render([])


def test_figures_that_are_no_result_are_called_so() -> None:
    tasks = in_order(named_tasks(toy_conf()).values())
    figures = [Figure("r", "single_task", "ctr", "auc", 1.0, 1.0, 1.0, 9, "single_task", 0.0)]
    facts = {"single_task": {"tasks": {"cvr": {"soundness": "constant"}}}, "of an older version": None}
    assert unsound_models(figures, facts, tasks) == {
        "single_task": "CVR: all predictions are one value, so nothing was learnt that ranks, on the validation rows; "
        "CTR: its figure is exactly perfect, as where a feature knows the label, on the test rows"
    }
