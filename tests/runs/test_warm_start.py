"""Going on from a trained run: what it starts from, what it learns from, and what cannot go on. Without Spark."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from deltalake import CommitProperties, DeltaTable, write_deltalake

from jobs.job import Job
from jobs.pipeline.train import complete
from ncs.config import Config
from ncs.errors import DataError, TrainingError
from ncs.lake import layout, storage
from ncs.lake.layout import ALL, Lake, Record, user_metadata
from ncs.models import build
from ncs.runs.run import Run, field_sizes
from ncs.runs.training import train
from ncs.runs.warm_start import Parent, _grown
from ncs.training.cluster import Cluster
from ncs.training.store import Store
from tests.factories import USERS, toy_conf, write_toy_lake
from tests.training.faults import same, saved_state, trained

MODELS = ("layer_share", "connection_share")
SETTINGS = ("window.train=8", "window.test=0", "train.models=[layer_share, connection_share]", "train.epochs=2")


def conf_of(days: str, *more: str) -> Config:
    return toy_conf("logs.days=2022-04-08..2022-04-10", *SETTINGS, *more).with_keys({"window.days": days})


BEFORE, NOW = (conf_of(f"2022-04-08..2022-04-{day:02d}") for day in (9, 10))


def set_vocabulary(lake: Lake, lineage: str, *more: tuple[str, int]) -> None:
    """The vocabulary with further rows, as one that has grown."""
    before = DeltaTable(lake.uri(layout.VOCABULARY)).to_pyarrow_table()
    rows = [{"field": field, "value": f"new{n}", "id": n, "count": 1} for field, n in more]
    table = pa.concat_tables([before, pa.Table.from_pylist(rows, schema=before.schema)])
    record = Record("encode", ALL, {}, {"content": len(table), "lineage": lineage})
    properties = CommitProperties(custom_metadata={"userMetadata": user_metadata([record])})
    write_deltalake(lake.uri(layout.VOCABULARY), table, mode="overwrite", commit_properties=properties)


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on the first two days, in a lake whose vocabulary has grown by three users since."""
    lake = write_toy_lake(Lake.at(str(tmp_path_factory.mktemp("lake"))), NOW, rows=600)
    set_vocabulary(lake, "l1")
    run = trained(lake, BEFORE)
    run.write_description()
    set_vocabulary(lake, "l1", *(("user_id", USERS + n) for n in (1, 2, 3)))
    return run


def go_on(parent: Run, conf: Config = NOW) -> Run:
    run = Run.of(conf, parent.lake, parent.run_id)
    train(run, Cluster(), lambda _: None, quiet=True)
    return run


def test_it_starts_from_the_parents_weights_and_masks(parent: Run) -> None:
    this = Run.of(NOW, parent.lake, parent.run_id)
    sizes = field_sizes(this)
    assert sizes["user_id"] == USERS + 4
    for model in MODELS:
        net = build(NOW.for_model(model), sizes, seed=3)
        Parent(parent.lake, parent.run_id).load(net, model, NOW, sizes)
        saved = saved_state(parent, model)
        own = [weights for weights in saved["task_weights"].values() if weights]
        for name, weight in net.state_dict().items():
            states = [weights.get(name, saved["net"][name]) for weights in own]
            states += [saved["net"][name]] * (2 - len(states))
            expected = sum(states) / 2 if weight.is_floating_point() else states[0]
            if name.endswith("embedding.table"):
                assert torch.allclose(weight[: USERS + 1], expected[: USERS + 1])
                assert torch.equal(weight[USERS + 1 : USERS + 4], weight[:1].expand(3, -1)), "as unknown users are"
                assert torch.allclose(weight[USERS + 4 :], expected[USERS + 1 :]), "the videos' rows"
            else:
                assert torch.allclose(weight, expected), name
        masks = {task: dict(mask) for task, mask in net.task_masks.items()}
        assert masks.keys() == saved["masks"].keys()
        assert all(torch.equal(masks[task][n], saved["masks"][task][n]) for task in masks for n in masks[task])


def test_it_learns_from_the_new_days_alone_and_resumes(parent: Run) -> None:
    run = go_on(parent)
    assert run.run_id != Run.of(NOW, parent.lake).run_id
    assert run.lineage.parent == parent.run_id
    snapshot = run.snapshot("gold/ctr_samples", "train")
    assert all("day=2022-04-10" in file for file in snapshot.files)
    facts = {model: run.facts(model) for model in MODELS}
    lines = storage.read_bytes(storage.join(run.model_folder("layer_share"), "metrics.jsonl")).decode().splitlines()
    assert len(lines) == 1
    assert f'"samples": {snapshot.rows + run.snapshot("gold/cvr_samples", "train").rows}' in lines[0]
    before, after = (saved_state(one, "connection_share") for one in (parent, run))
    assert all(
        torch.equal(mask, after["masks"][task][name])
        for task, layers in before["masks"].items()
        for name, mask in layers.items()
    ), "masks are kept"
    assert storage.exists(storage.join(run.model_folder("connection_share"), "masks.json"))
    assert facts["layer_share"].tasks["ctr"].skill > 0, "the parent's weights know the new day's rows a little"

    first = {model: saved_state(run, model) for model in MODELS}
    storage.remove(run.folder)
    conf = Run.of(NOW, parent.lake, parent.run_id).conf
    assert conf == NOW
    again = go_on(parent)
    assert again.run_id == run.run_id
    assert all(same(first[model], saved_state(again, model)) for model in MODELS), "the same bits"


def test_it_goes_on_with_the_optimisers_state(parent: Run) -> None:
    kept = Store(parent.model_folder("layer_share"), Cluster()).load("optimizer-ctr-cvr")
    assert all(float(rows.abs().sum()) > 0 for rows in kept["rows"].values())
    sizes = field_sizes(Run.of(NOW, parent.lake, parent.run_id))
    net = build(NOW.for_model("layer_share"), sizes, seed=3)
    state = Parent(parent.lake, parent.run_id)._optimizer("layer_share", tuple(net.tasks), net, sizes)
    assert state is not None
    (rows,), (before,) = state["rows"].values(), kept["rows"].values()
    assert torch.equal(rows[: USERS + 1], before[: USERS + 1])
    assert not rows[USERS + 1 : USERS + 4].any(), "new users have none"
    assert torch.equal(rows[USERS + 4 :], before[USERS + 1 :])

    first = saved_state(go_on(parent), "layer_share")
    assert same(first, saved_state(go_on(parent), "layer_share"))
    folder = Run.of(NOW, parent.lake, parent.run_id).folder
    storage.remove(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "has", lambda *_: False)  # as a run of before
        assert not same(first, saved_state(go_on(parent), "layer_share")), "a fresh optimiser takes other steps"
    storage.remove(folder)


def test_another_optimiser_of_embeddings_begins_afresh(parent: Run) -> None:
    conf = conf_of("2022-04-08..2022-04-10", "train.embedding_optimizer=adagrad", "train.models=[layer_share]")
    run = Run.of(conf, parent.lake, parent.run_id)
    complete(Job(conf, parent.lake, conf.logs.days, quiet=True), run)
    (rows,) = Store(run.model_folder("layer_share"), Cluster()).load("optimizer-ctr-cvr")["rows"].values()
    assert rows.ndim == 1, "Adagrad has a number a row, the parent's Adam many"


def test_rows_are_not_pulled_to_zero_anew(parent: Run) -> None:
    states = []
    for penalty in ("0.0", "10000.0"):
        settings = (f"train.embedding_l2={penalty}", "train.models=[layer_share]")
        conf = conf_of("2022-04-08..2022-04-10", *settings)
        run = Run.of(conf, parent.lake, parent.run_id)
        complete(Job(conf, parent.lake, conf.logs.days, quiet=True), run)
        states.append(saved_state(run, "layer_share"))
    assert same(*states)


@pytest.mark.slow
def test_several_workers_go_on_together(parent: Run) -> None:
    conf = conf_of("2022-04-08..2022-04-10", "workers=2", "launch.launcher=torch", "train.models=[connection_share]")
    together = Run.of(conf, parent.lake, parent.run_id)
    complete(Job(conf, parent.lake, conf.logs.days, quiet=True), together)
    facts = together.facts("connection_share")
    assert (facts.workers, together.lineage.parent) == ([2], parent.run_id)
    assert facts.tasks["ctr"].skill > 0, "they begin from the parent's weights"
    before, after = (saved_state(one, "connection_share")["masks"] for one in (parent, together))
    assert all(torch.equal(mask, after[task][name]) for task in before for name, mask in before[task].items())


def test_what_cannot_go_on_is_named(parent: Run) -> None:
    for conf, text in (
        (conf_of("2022-04-08..2022-04-10", "net.hidden=[8, 8]"), "its net is not as configured now"),
        (conf_of("2022-04-08..2022-04-10", "fields.user_id.min_count=2"), "its fields is not as configured now"),
        (conf_of("2022-04-08..2022-04-10", "tasks.cvr.weight=2.0"), "its tasks is not as configured now"),
        (conf_of("2022-04-08..2022-04-10", "train.models=esmm"), "it has no esmm of the same definition"),
        (conf_of("2022-04-08..2022-04-10", "train.embeddings=sharded"), "train.embeddings=sharded is not supported"),
    ):
        with pytest.raises(DataError, match=text):
            Run.of(conf, parent.lake, parent.run_id)
    with pytest.raises(
        DataError, match=r"it was trained on days up to 2022-04-09, and 2022-04-08..2022-04-09 has none"
    ):
        Run.of(BEFORE, parent.lake, parent.run_id).snapshot("gold/ctr_samples", "train")
    with pytest.raises(DataError, match=r"run\.json is not there; name a finished run"):
        Run.of(NOW, parent.lake, "toy-gone")
    set_vocabulary(parent.lake, "l2")
    with pytest.raises(DataError, match="its ids are of another vocabulary"):
        Run.of(NOW, parent.lake, parent.run_id)
    set_vocabulary(parent.lake, "l1")
    with pytest.raises(TrainingError, match=r"a weight of shape \[2, 3\] cannot become one of \[2, 4\]"):
        _grown(torch.zeros(2, 3), torch.zeros(2, 4), [2], [2])


def test_rows_that_join_a_table_begin_as_its_unknown() -> None:
    old = torch.arange(10.0).view(5, 2)
    grown = _grown(old, torch.zeros(8, 2), [2, 3], [4, 4])
    assert np.array_equal(grown.numpy()[:, 0], [0, 2, 0, 0, 4, 6, 8, 4])
