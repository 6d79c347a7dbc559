"""Trees, and trees with a net, as programs: they predict what LightGBM predicts, on all that a layout allows."""

import numpy as np
import pytest
import torch

from ncs.errors import ExportError
from ncs.lake.layout import Lake
from ncs.models.gbdt import Gbdt
from ncs.nets.model import NetSpec
from ncs.runs.predictor import Predictor
from ncs.runs.run import Run, field_sizes
from ncs.serving import trees
from ncs.serving.blend import ServingBlend, serving
from ncs.serving.export import export, onnx_predictor, torch_predictor
from ncs.serving.samples import draw
from ncs.serving.trees import ServingTrees
from tests.factories import RICH, toy_conf, write_toy_lake
from tests.training.faults import trained

MODELS = ("gbdt", "layer_share_gbdt")
CONF = toy_conf(*RICH, f"train.models=[{', '.join(MODELS)}]", "net.members=2", "tasks.cvr.loss=cross_entropy")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(write_toy_lake(Lake.at(str(tmp_path_factory.mktemp("trees") / "lake")), CONF), CONF)


def model_of(run: Run, name: str, task: str) -> Gbdt:
    net = Predictor.load(run.folder, name, run.conf, field_sizes(run)).nets[task]
    return net  # type: ignore[return-value]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("task", ["ctr", "cvr"])
def test_programs_predict_what_the_model_does(run: Run, model: str, task: str) -> None:
    net = model_of(run, model, task)
    program = export(net, net.tasks[task])
    rows = draw(net.spec.inputs, 3000)
    for predict in (torch_predictor(program.files["pt2"]), onnx_predictor(program.files["onnx"])):
        for some in (rows, rows[:1], rows[-100:]):
            torch.testing.assert_close(predict(some), net.probability(some, task), rtol=0, atol=2e-6)
    assert program.card["parameters"]["before"] >= program.card["parameters"]["after"] > 0


@pytest.mark.parametrize("objective", ["cross_entropy", "regression"])
def test_splits_of_all_kinds_are_walked_as_lightgbm_walks_them(objective: str) -> None:
    """By numbers with and without missing ones, by ids in sets, by counts of lists."""
    import lightgbm

    spec = NetSpec.of(toy_conf(*RICH).for_model("gbdt"), {"user_id": 61, "video_id": 41, "tag": 10})
    model, drawn = Gbdt(spec), np.random.default_rng(5)
    rows = draw(spec.inputs, 5000)
    rows.numbers[:, 1] = rows.numbers[:, 1].nan_to_num()  # no missing value is seen here, but served below
    matrix = model.columns.matrix(rows)
    label = (np.nan_to_num(matrix[:, -1]) > 0) * 0.3 + matrix[:, 0] % 7 / 20 + drawn.random(len(matrix)) * 0.3
    categorical = list(range(len(model.columns.single)))
    data = lightgbm.Dataset(matrix, label.clip(0, 1), categorical_feature=categorical)
    settings = {"objective": objective, "num_leaves": 15, "min_data_in_leaf": 5, "verbosity": -1}
    model.keep("ctr", lightgbm.train(settings, data, num_boost_round=40))
    served = ServingTrees(model, "ctr")
    assert served.get_buffer("by_id").numel()
    assert served.get_buffer("missing_goes_left").any()
    assert not served.get_buffer("missing_goes_left").all()
    other = draw(spec.inputs, 6000)[5000:]
    torch.testing.assert_close(served(other.ids, other.numbers), model.probability(other, "ctr"), rtol=0, atol=2e-6)
    assert served.leaves == model.size()


def test_a_constant_is_served_too() -> None:
    """One leaf a tree, where nothing can be split."""
    import lightgbm

    spec = NetSpec.of(toy_conf(*RICH).for_model("gbdt"), {"user_id": 61, "video_id": 41, "tag": 10})
    model, rows = Gbdt(spec), draw(spec.inputs, 200)
    data = lightgbm.Dataset(model.columns.matrix(rows), np.arange(200) % 4 == 0)
    settings = {"objective": "cross_entropy", "min_data_in_leaf": 150, "verbosity": -1}
    model.keep("ctr", lightgbm.train(settings, data, num_boost_round=3))
    assert ServingTrees(model, "ctr")(rows.ids, rows.numbers).tolist() == pytest.approx([0.25] * 200, abs=1e-6)


def test_trees_of_too_many_leaves_are_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "MOST_LEAVES", 3)
    net = model_of(run, "gbdt", "cvr")
    with pytest.raises(ExportError, match=r"cvr: trees have up to \d+ leaves, at most 3 are exported; lower net.gbdt"):
        ServingTrees(net, "cvr")


def test_a_number_is_held_against_a_threshold_as_if_both_were_float64() -> None:
    drawn = np.random.default_rng(3)
    thresholds = np.concatenate([drawn.normal(size=500), drawn.normal(size=500).astype(np.float32)])
    near = np.nextafter(thresholds.astype(np.float32), np.float32(drawn.choice([-9, 9])))
    for values in (near, thresholds.astype(np.float32)):
        held = np.array([trees._at_most(threshold) for threshold in thresholds], np.float32)
        assert np.array_equal(values <= held, values.astype(float) <= thresholds)


def test_a_blend_has_the_share_that_validation_chose(run: Run) -> None:
    net = model_of(run, "layer_share_gbdt", "ctr")
    served = serving(net, "ctr")
    assert isinstance(served, ServingBlend)
    rows = draw(net.spec.inputs, 50)
    inputs = rows.ids, rows.numbers
    expected = served.share * served.net(*inputs) + (1 - served.share) * served.trees(*inputs)
    torch.testing.assert_close(served(*inputs), expected, rtol=0, atol=1e-6)
