"""Rows of one request take a way of their own, any others the general one, and both predict what the model does."""

import pytest
import torch

from ncs.data_loading import Features
from ncs.errors import ExportError
from ncs.models import build
from ncs.nets.masked import MaskedNet
from ncs.serving import blend
from ncs.serving import export as exporting
from ncs.serving.export import TOLERANCE, Program, onnx_predictor, torch_predictor
from ncs.serving.layers import Columns
from ncs.serving.model import ServingNet, macs
from ncs.serving.samples import draw
from tests.factories import RICH, toy_conf
from tests.serving.nets import IDS, masked, of_catalogue

LISTED = "net.crosses=[[user_id, video_id], [scene, video_id], [user_id, video_id]]"


def connection_share(*overrides: str) -> MaskedNet:
    net = of_catalogue("connection_share", *overrides)
    assert isinstance(net, MaskedNet)
    return masked(net, 0.35)


def batches() -> dict[str, Features]:
    """Rows of user_id, video_id, scene, by what they are."""
    torch.manual_seed(3)
    many = torch.stack([torch.randint(size, (100,)) for size in (5, 7, 3)], 1)
    one = torch.cat([torch.full((100, 1), 2), many[:, 1:]], 1)
    last = one.clone()
    last[-1, 0] = 4
    rows = {"row": many[:1], "one": one, "many": many, "last": last, "none": many[:0]}
    return {name: Features.of_ids(ids) for name, ids in rows.items()}


def poisoned(small: ServingNet, way: str) -> ServingNet:
    """With NaN in one of the ways through the first layer."""
    next(small.get_submodule(way).buffers()).fill_(torch.nan)
    return small


@pytest.fixture(scope="module")
def exported() -> tuple[MaskedNet, Program]:
    """A net and its CTR programs."""
    net = connection_share()
    return net, exporting.export(net, net.tasks["ctr"])


def test_programs_predict_what_the_model_does_whatever_the_rows(exported: tuple[MaskedNet, Program]) -> None:
    net, program = exported
    for predict in (torch_predictor(program.files["pt2"]), onnx_predictor(program.files["onnx"])):
        for name, rows in batches().items():
            found = predict(rows)
            assert found.shape == (rows.rows,)
            torch.testing.assert_close(found, net.probability(rows, "ctr"), atol=TOLERANCE, rtol=0, msg=name)


def test_the_card_names_the_request_and_its_multiplications(exported: tuple[MaskedNet, Program]) -> None:
    _, program = exported
    _, *after = program.card["layers"]["after"]
    rest = 2 * 2  # columns of video_id and scene
    once, row = 2 * (rest + 1) * after[0], macs([rest, *after])
    assert program.card["request"] == {"fields": ["user_id"], "macs": {"once": once, "row": row}}
    assert row < program.card["macs"]["after"]


def test_which_way_rows_take() -> None:
    """A way with NaN in it shows who has gone there: no rows of several requests go the one's, and the reverse."""
    net = connection_share()
    for way, through in (("members.0.one_request", {"row", "one"}), ("members.0.any_rows", {"many", "last"})):
        small = poisoned(ServingNet(net.spec, net.subnetwork("ctr")), way)
        for name, rows in batches().items():
            if rows.rows:
                assert small(rows.ids).isnan().any() == (name in through), (way, name)


@pytest.mark.parametrize("way", ["members.0.one_request", "members.0.any_rows"])
def test_both_ways_are_held_against_the_model(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    net = connection_share()
    monkeypatch.setattr(blend, "ServingNet", lambda *of: poisoned(ServingNet(*of), way))
    with pytest.raises(ExportError, match="predicts otherwise than the trained model, by nan on 4098 rows"):
        exporting.export(net, net.tasks["ctr"])


def test_users_that_the_vocabulary_has_not_are_one_unknown() -> None:
    net = connection_share()
    small = poisoned(ServingNet(net.spec, net.subnetwork("ctr")), "members.0.any_rows")
    ids = torch.tensor([[5, 1, 2], [-1, 2, 0], [0, 6, 1]])
    expected = net.probability(Features.of_ids(torch.tensor([[0, 1, 2], [0, 2, 0], [0, 6, 1]])), "ctr")
    torch.testing.assert_close(small(ids), expected)


def test_crosses_of_several_left_fields_in_any_order() -> None:
    """Columns that do not follow one another, and a pair that is named twice."""
    net = connection_share(LISTED)
    small = ServingNet(net.spec, net.subnetwork("ctr"))
    assert small.request == [0, 2]
    user, scene = IDS.ids[:, 0], IDS.ids[:, 2]
    for rows in (IDS, IDS[scene == 1], IDS[(user == 3) & (scene == 1)]):
        torch.testing.assert_close(small(rows.ids), net.probability(rows, "ctr"))


@pytest.mark.parametrize("override", ["net.interaction=dot", "net.crosses=[[user_id, video_id], [video_id, scene]]"])
def test_without_a_side_for_the_request_there_is_one_way(override: str) -> None:
    net = connection_share(override)
    card = exporting.export(net, net.tasks["ctr"]).card
    assert card["request"] == {"fields": [], "macs": None}
    small = ServingNet(net.spec, net.subnetwork("ctr"))
    for rows in batches().values():
        torch.testing.assert_close(small(rows.ids), net.probability(rows, "ctr"))


@pytest.mark.parametrize("columns", [[1, 2, 3], [4], [0, 2], [3, 1]])
def test_columns_are_those_that_are_named(columns: list[int]) -> None:
    matrix = torch.arange(10.0).view(2, 5)
    assert Columns(torch.tensor(columns))(matrix).tolist() == [[float(n) for n in columns], [5.0 + n for n in columns]]


def rich(*overrides: str) -> MaskedNet:
    """A masked net over features of all kinds."""
    conf = toy_conf(*RICH, *overrides).for_model("connection_share")
    torch.manual_seed(1)
    net = build(conf, {"user_id": 6, "video_id": 8, "tag": 5}, seed=1)
    assert isinstance(net, MaskedNet)
    torch.nn.init.normal_(net.inputs.embedding.table, std=0.5)
    return masked(net.eval(), 0.5)


@pytest.mark.parametrize(
    ("override", "request_fields"),
    [
        ("net.norm=layer", ["user_id"]),
        ("net.interaction=dot", []),
        ("net.crosses=[[clicked_video_id, video_id], [cover, user_id]]", ["clicked_video_id", "cover"]),
    ],
)
def test_programs_take_lists_numbers_and_vectors(override: str, request_fields: list[str]) -> None:
    net = rich(override)
    program = exporting.export(net, net.tasks["ctr"])
    card = program.card
    assert card["fields"] == net.spec.inputs.layout.names
    assert card["input"]["shape"] == ["batch", 9]
    assert card["input"]["padding"] == -1
    assert card["numbers"] == {"name": "numbers", "dtype": "float32", "shape": ["batch", 4], "missing": "NaN"}
    assert card["columns"]["tag"] == {"input": "ids", "first": 2, "length": 3}
    assert card["columns"]["cover"] == {"input": "numbers", "first": 1, "length": 2}
    assert card["ids"] == {"user_id": 6, "video_id": 8, "tag": 5, "clicked_video_id": 8}
    assert card["request"]["fields"] == request_fields
    rows = draw(net.spec.inputs, 50)
    for predict in (torch_predictor(program.files["pt2"]), onnx_predictor(program.files["onnx"])):
        for count in (50, 1):
            torch.testing.assert_close(
                predict(rows[:count]), net.probability(rows[:count], "ctr"), atol=TOLERANCE, rtol=0
            )
