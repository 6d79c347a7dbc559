"""Pages of comparisons, sweeps, simulations and the index: verdict, references to choose from, tables to sort."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from xml.etree import ElementTree

import numpy as np
import pytest

from ncs.evaluation import comparison_page, curves, index, rankings
from ncs.evaluation.comparison import Compared
from ncs.evaluation.comparison_page import Comparison
from ncs.evaluation.index import Entry
from ncs.evaluation.models import COLOURS, MARKERS, look
from ncs.lake import storage
from ncs.lake.layout import Lake
from tests.evaluation.factories import CONF, Page, judged, simulated, text_of

MADE = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
THREE = {"single_task": (0.135, 0.790), "layer_share": (0.134, 0.790), "connection_share": (0.133, 0.789)}
"""CVR MSE and CTR AUC."""


def comparison(planted: Mapping[str, tuple[float, float]], seeds: int = 3) -> Comparison:
    facts = {"parameters": 1000, "density": 0.5, "seconds": 30.0}
    models = [Compared(model, {}, [facts] * seeds) for model in planted]
    return Comparison("0123abcd", MADE, CONF, models, judged(planted, seeds), 1234)


def test_a_comparison_s_page_says_what_follows_and_lets_one_choose_the_reference() -> None:
    page = comparison_page.render(comparison(THREE))
    text, found = text_of(page), Page(page)
    assert (found.open, found.links) == ([], ["../index.html"])
    assert "Verdict: use layer_share instead of single_task" in text
    assert "connection_share is better on CVR MSE but worse on CTR AUC than single_task: a trade-off" in text
    assert "over 3 training seeds and 1,234 test impressions" in text
    assert "ncs run --set &#39;train.models=[single_task,layer_share]&#39;" in text
    assert re.findall(r'<input type="radio".*?> (\w+)</label>', page) == list(THREE)
    assert page.count(" checked>") == 1
    sections = re.split(r'<section class="reference', page)[1:]
    assert [section.count("<svg") for section in sections[:2]] == [2, 2], "a forest plot a task and reference"
    from_layer_share = text_of(sections[1])
    assert "-0.00100 worse" in from_layer_share, "SingleTask beside LayerShare, + is better"
    assert "+0.00100 better" in from_layer_share
    assert "layer_share LayerShare: the tasks share the embedding and have a tower each" in text
    assert sections[-1].count("<svg") == 2 + 4, "cost: seconds and parameters by task"
    pictures = [ElementTree.fromstring(one) for one in re.findall(r"<svg.*?</svg>", page, re.S)]
    titles = [one.findtext("{http://www.w3.org/2000/svg}title") for one in pictures]
    assert titles[0] == "CVR MSE: difference from single_task"
    assert all(titles)


def test_the_smallest_difference_that_can_be_settled_follows_from_the_intervals() -> None:
    found = comparison(THREE)
    mine = [one for one in found.differences if one.reference == "single_task"]
    (cvr, _) = (comparison_page._smallest(one, mine) for one in found.judged)
    assert cvr is not None
    assert cvr["both"] == pytest.approx(1.96 * 5e-6 * np.sqrt(0.5), rel=0.01), "half of the rows' square is noise"
    assert cvr["rows"] == pytest.approx(1.96 * 5e-6, rel=0.01)
    assert cvr["alone"] == pytest.approx(cvr["both"] * (1.96 + 0.84) / 1.96, rel=0.01)
    assert cvr["together"] == pytest.approx(cvr["both"] * (2.50 + 0.84) / 1.96, rel=0.01), "0.05 over four differences"
    assert "from single_task: CVR MSE 1 (1), CTR AUC 0 (0)" in found.table


def test_one_model_and_one_seed_have_a_page_too() -> None:
    alone = text_of(comparison_page.render(comparison({"single_task": (0.1, 0.7)}, seeds=1)))
    assert "Verdict: single_task, for it is the only model" in alone
    one_seed = comparison({"single_task": (0.1, 0.7), "ple": (0.1, 0.7)}, seeds=1)
    text = text_of(comparison_page.render(one_seed))
    assert "over the test impressions alone, for there is one seed" in text
    assert "another seed may change it" in text
    assert "not known" in text, "how far seeds vary"


def test_a_large_catalogue_is_compared_with_some_references_only() -> None:
    many = {f"model_{n}": (0.135, 0.79 + n / 1000) for n in range(9)}
    page = comparison_page.render(comparison({**THREE, **many}))
    names = re.findall(r'<input type="radio".*?> (\w+)</label>', page)
    assert names == ["single_task", "layer_share", "connection_share", "model_8"], "those configured, and the best"
    assert "settled by Holm's correction over the 22 differences from the same reference" in text_of(page)


def test_a_sweep_s_page_has_a_verdict_a_value() -> None:
    better = comparison(THREE)
    level = comparison(dict.fromkeys(THREE, (0.135, 0.79)))
    swept = [(0.1, better), (0.5, level)]
    pictures = curves.draw("prune.rate", swept, "single_task")
    page = curves.render("prune.rate", swept, list(pictures.values()))
    text, found = text_of(page), Page(page)
    assert (found.open, found.links) == ([], ["../index.html"])
    assert "Verdict: layer_share at 1, single_task at 1 of 2 values" in text
    assert "0.5 keep single_task, no other model is settled to be better" in text
    assert page.count("<svg") == 2


def test_a_simulation_s_page_says_what_to_rank_by() -> None:
    rows = simulated(MADE)
    page = rankings.render(rows)
    text = text_of(page)
    assert Page(page).open == []
    assert "Verdict: rank by 2) single_task, connection_share" in text
    assert "better: +1.50% view time (+0.50% to +2.50%)" in text
    assert "A/B test 2) single_task, connection_share: not settled: +1.50% view time" in text
    assert "ncs compare --models single_task,connection_share --seeds 5" in text
    level = [row | ({"paired_low": -0.01} if row["paired_low"] else {}) for row in rows]
    found = rankings.verdict(level)
    assert (found.recommended, found.command) == ("1) single_task, single_task", "ncs simulate --set simulate.days=4")
    broken = rankings.verdict([row | {"sample_ratio": 0.0001} for row in rows])
    assert broken.notes == ["the users are not split as they should be (p = 0.000): do not use the A/B test"]


def entry(kind: str, name: str, day: int) -> Entry:
    made_at = datetime(2026, 1, day, tzinfo=UTC)
    return Entry(kind, name, made_at, f"{name}/page.html", f"use {name} <b>", "a, b")


def test_the_index_lists_what_is_there_the_newest_first(lake: Lake) -> None:
    for one in (entry("run", "r-1", 3), entry("comparison", "c.1", 5), entry("run", "gone", 9)):
        storage.write_bytes(lake.uri("reports", one.path), b"page")
        path = index.add(lake, one)
    storage.remove(lake.uri("reports", "gone", "page.html"))
    storage.write_json(
        lake.uri("reports", "evil", "entry.json"), {**vars(entry("run", "x", 1)), "path": "javascript:1"}
    )
    storage.write_bytes(lake.uri("reports", "broken", "entry.json"), b"{")
    again = entry("run", "r-1", 4)
    assert index.add(lake, again) == path == lake.uri("reports", "index.html")
    page = storage.read_bytes(path).decode()
    assert Page(page).links == ["c.1/page.html", "r-1/page.html"]
    assert "use c.1 &lt;b&gt;" in page
    assert "2026-01-04" in page, "in place of what was listed before"


def test_the_index_of_nothing_is_a_page() -> None:
    assert Page(index.render([])).open == []


def test_a_model_looks_alike_whatever_it_is_drawn_beside() -> None:
    assert look("single_task") == (COLOURS[0], MARKERS[0])
    assert len({look(name) for name in CONF.models}) == len(CONF.models), "by colour or by marker"
    compared = ("single_task", "layer_share", "connection_share", "neuron_share", "gbdt")
    assert len({look(name).colour for name in compared}) == len(compared)
    assert look("someone's own") == look("someone's own")
    assert look("someone's own").colour in COLOURS
