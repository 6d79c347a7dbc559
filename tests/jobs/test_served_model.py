"""What the MLflow model's folder is made from: types, an example of nobody, no erased users."""

import pyarrow as pa
import pytest

from jobs.pipeline import served_model
from jobs.pipeline.chosen import load
from ncs.lake import layout, storage
from ncs.lake.erasure import record_erasure
from ncs.lake.layout import Lake
from ncs.lake.registry import ModelRef
from ncs.serving.mlflow_model import raw_types
from tests.evaluation.factories import described
from tests.factories import RICH, USERS, toy_conf, write_toy_lake


def test_erased_users_are_left_out(lake: Lake) -> None:
    conf = toy_conf(*RICH)
    write_toy_lake(lake, conf, rows=10)
    storage.write_json(
        lake.uri("models", "toy-1", "run.json"), described(models=["layer_share"], conf=conf.model_dump())
    )
    chosen = load(lake, ModelRef("toy-1", "layer_share"))
    record_erasure(lake, [7, USERS], [])
    rows = served_model._vocabulary(lake, chosen).to_pylist()
    users = {row["value"] for row in rows if row["field"] == "user_id"}
    assert users == {str(n) for n in range(1, USERS + 1)} - {"7", str(USERS)}
    assert {row["value"] for row in rows if row["field"] == "video_id"} >= {"7"}


@pytest.mark.parametrize("whole", [True, False])
def test_types_are_those_of_the_samples_and_the_example_names_nobody(lake: Lake, whole: bool) -> None:
    conf = toy_conf(*RICH)
    write_toy_lake(lake, conf, rows=10)
    number = pa.int64() if whole else pa.string()
    columns = {"user_id": number, "video_id": number, "tag": pa.list_(pa.string()), "cover": pa.list_(pa.float32())}
    columns |= {"age": pa.int32(), "length_seconds": pa.float64()}
    found = raw_types(conf.features, columns)
    assert found == {
        "user_id": number,
        "age": pa.float64(),
        "video_id": number,
        "tag": pa.list_(pa.string()),
        "cover": pa.list_(pa.float32()),
        "user_id_clicked_7d": pa.float64(),
        "clicked_video_id": pa.list_(number),
        "length_seconds": pa.float64(),
    }
    rows = lake.read(layout.VOCABULARY, 0, ["field", "value", "id"])
    example = served_model.example(conf, rows, columns)
    one, nobody = (1, 0) if whole else ("1", "0")
    assert example == {
        "user_id": [nobody],
        "age": [20.0],
        "video_id": [one],
        "tag": [["1"]],
        "cover": [[0.0, 0.0]],
        "user_id_clicked_7d": [20.0],
        "clicked_video_id": [[one]],
        "length_seconds": [20.0],
    }
