"""The present champion beside a run and a comparison: the paired difference from it, or why there is none."""

import io
from contextlib import redirect_stdout
from dataclasses import replace

import numpy as np
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from jobs.job import Job
from jobs.pipeline import compare, evaluate
from jobs.pipeline.champion import champion_beside, champion_on, predictions_beside
from ncs.evaluation.verdict import verdict
from ncs.lake import layout, storage
from ncs.lake.layout import Lake
from ncs.lake.registry import CHAMPION, ModelRef, Registry
from ncs.runs.predictor import Predictor
from ncs.runs.run import Run, field_sizes
from tests.evaluation.factories import CONF, MODELS, RUN, described, predictions, put, write_lake
from tests.factories import toy_conf, write_toy_lake
from tests.training.faults import trained

OLD = ModelRef("toy-0", "single_task")
DAY = CONF.test_days.last


def crown(lake: Lake, ref: ModelRef) -> None:
    Registry.read(lake).append(CHAMPION, "force", ref, "a trial")


def write_old_run(lake: Lake, **keys: object) -> None:
    conf = CONF.with_keys(keys).model_dump()
    storage.write_json(lake.uri("models", OLD.run_id, "run.json"), described(run_id=OLD.run_id, conf=conf))
    crown(lake, OLD)


def evaluated(lake: Lake) -> list[str]:
    with redirect_stdout(io.StringIO()) as printed:
        evaluate.run(Job(CONF, lake, CONF.logs.days, quiet=True))
    return printed.getvalue().splitlines()


def test_a_runs_verdict_names_the_difference_from_the_champion(spark: SparkSession, lake: Lake) -> None:
    write_lake(lake)
    write_old_run(lake)
    champion, _ = predictions_beside(lake, RUN, CONF)
    assert champion is not None
    assert champion.problem == "it has not predicted 2022-04-10 on its own; run `ncs predict`"
    rows = [{**row, "run_id": OLD.run_id} for row in predictions(MODELS[:1])]
    table = DeltaTable(lake.uri(layout.PREDICTIONS)).to_pyarrow_table()
    put_more(lake, [*table.to_pylist(), *rows], f"{OLD}/{DAY}")
    printed = evaluated(lake)
    found = [line for line in printed if "the champion toy-0/single_task" in line]
    assert found[0].startswith("  CVR MSE  not settled")
    assert found[1].startswith("  CTR AUC  better by ")
    assert found[1].partition(" than ")[0] == printed[printed.index(found[1]) - 2].partition(" than ")[0], "equal to it"
    kept = lake.rows_of_run(layout.RUN_DIFFERENCES, RUN)
    assert {(row["reference"], row["reference_run"]) for row in kept} == {
        ("single_task", RUN),
        ("connection_share", RUN),
        ("single_task", OLD.run_id),
    }
    version = lake.version(layout.EVALUATIONS)
    assert evaluated(lake) == printed
    assert lake.version(layout.EVALUATIONS) == version, "nothing was written again"
    page = storage.read_bytes(lake.uri("reports", RUN, "report.html")).decode()
    assert "the champion toy-0/single_task" in page


def put_more(lake: Lake, rows: list[dict], *keys: str) -> None:
    types = {field.name: field.type for field in DeltaTable(lake.uri(layout.PREDICTIONS)).to_pyarrow_table().schema}
    storage.remove(lake.uri(layout.PREDICTIONS))
    put(lake, layout.PREDICTIONS, rows, types, RUN, *keys)


def test_what_cannot_be_compared_says_why(lake: Lake) -> None:
    write_lake(lake)
    assert champion_beside(lake, RUN, CONF) is None
    write_old_run(lake, **{"split.test_days": 0})
    beside = champion_beside(lake, RUN, CONF)
    assert beside is not None
    assert beside.note() == (
        "not compared with the champion, toy-0/single_task: it was trained on days up to 2022-04-10, so the test days "
        "2022-04-10 say nothing of it"
    )
    write_old_run(lake, **{"tasks.cvr.label": "least(cvr * 2, 1)"})
    beside = champion_beside(lake, RUN, CONF)
    assert beside is not None
    assert beside.problem == "it does not predict cvr as tasks.cvr has it now"
    storage.remove(lake.uri("models", OLD.run_id))
    beside = champion_beside(lake, RUN, CONF)
    assert beside is not None
    assert "holds no finished run 'toy-0'" in str(beside.problem)
    crown(lake, ModelRef(RUN, MODELS[1]))
    beside = champion_beside(lake, RUN, CONF)
    assert beside is not None
    assert (beside.name, beside.problem, beside.other) == (MODELS[1], None, None), "its rows are there"


def test_a_comparison_scores_its_rows_with_the_champion_too(lake: Lake) -> None:
    conf = toy_conf("train.epochs=1", "compare.seeds=2")
    conf = conf.with_keys({"compare.models": ["single_task", "layer_share"]})
    old = trained(write_toy_lake(lake, conf, rows=300), conf.with_keys({"train.models": ["layer_share"]}))
    old.write_description()
    ref = ModelRef(old.run_id, "layer_share")
    crown(lake, ref)
    found = compare.compare(Job(conf, lake, conf.logs.days, quiet=True), old.versions)
    assert found.champion == str(ref)
    ids = np.concatenate([batch.features.ids.numpy() for batch in old.test_loader().epoch(0)])
    expected = Predictor.load(old.folder, "layer_share", old.conf, field_sizes(old)).predict(ids)
    watched = np.concatenate([batch.labels["cvr"].numpy() for batch in old.test_loader().epoch(0)])
    error = np.nanmean((expected["cvr"] - watched) ** 2)
    (cvr,) = (one for one in found.judged if one.task.name == "cvr")
    assert cvr.figures.mean(str(ref)).value == pytest.approx(error, abs=1e-6)
    assert [one.reference for one in verdict(found._evidence).findings][-2:] == [str(ref)] * 2
    own = {(one.model, one.reference): one for one in found._evidence.differences if one.task == "ctr"}
    apart = own["layer_share", "single_task"].difference - own["layer_share", str(ref)].difference
    assert apart == pytest.approx(-own["single_task", str(ref)].difference, abs=1e-9)

    this = Run.of(conf, lake)
    other = replace(this, conf=conf.with_keys({"fields.user_id.min_count": 2}))
    assert champion_on(lake, other)[1] == (
        f"not compared with the champion, {ref}: it was trained with other fields, statistics or history"
    )


def test_ids_that_a_model_lacks_are_unknown_to_it(lake: Lake) -> None:
    conf = toy_conf("train.models=layer_share", "train.epochs=1")
    run = trained(write_toy_lake(lake, conf, rows=300), conf)
    sizes = field_sizes(run)
    predictor = Predictor.load(run.folder, "layer_share", conf, sizes)
    users, videos = sizes["user_id"], sizes["video_id"]
    ids = np.array([[1, 2], [users, videos - 1], [users - 1, videos + 5]])
    assert predictor.known(ids).tolist() == [[1, 2], [0, videos - 1], [users - 1, 0]]
