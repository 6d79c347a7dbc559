"""Who may change what is written, what a configuration can reach, and that secrets stay unknown."""

import json
import os
import pickle
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.cli import main
from jobs.runs import latest_run
from ncs import config
from ncs.config import Config
from ncs.errors import ConfigError, DataError
from ncs.feed import Snapshot, TableFeed
from ncs.lake import storage
from ncs.lake.layout import Lake
from ncs.training.run import Run
from tests.test_layers import sources
from tests.toy import ROOT, toy_conf, write_toy_lake

DEMO = str(ROOT / "conf" / "demo.yaml")
SECRET = "wJalrXUtnFEMI-K7MDENG"


def test_nothing_is_writable_for_everybody(lake: Lake) -> None:
    before = os.umask(0)
    try:
        main(["train", "--conf", DEMO, "--lake", lake.root])
        modes = {path.name: path.stat().st_mode for path in (Path(lake.root), *Path(lake.root).rglob("*"))}
    finally:
        os.umask(before)
    assert "lake.json" in modes
    assert not [name for name, mode in modes.items() if mode & (stat.S_IWOTH | stat.S_IWGRP)]


@pytest.mark.parametrize(
    "setting",
    [
        "name=../elsewhere",
        "name='x/../../y'",
        'fields={"a` FROM t --": {side: user, encode: vocabulary}}',
        'fields={"user_id\\n": {side: user, encode: vocabulary}}',
        "tasks={'../../x': {label: clicked, loss: cross_entropy, metric: auc}}",
        "systems={'../x': {module: mmoe}}",
        "systems={x: {module: os}}",
        "logs.timezone=../../etc/passwd",
        "tasks.ctr.label=java_method('java.lang.System', 'getenv', 'HOME')",
        "tasks.ctr.label=reflect('java.lang.System', 'exit', 1)",
        "tasks.ctr.where=`try_reflect`('java.lang.System', 'getenv', 'HOME') IS NULL",
        "tasks.ctr.label=(SELECT max(user_id) FROM delta.`/other`)",
        "tasks.ctr.where=clicked IN ( SELECT 1)",
        "tasks.ctr.where=clicked IN (/* */ SELECT 1)",
        "logs.source=s3a://me:mine@bucket/logs",
    ],
)
def test_a_configuration_reaches_no_other_path_table_or_method(setting: str) -> None:
    with pytest.raises(ConfigError) as refused:
        config.load(DEMO, [setting])
    assert "mine@" not in str(refused.value)


@pytest.mark.parametrize(
    "arguments",
    [["--days", "2022-04-08' OR '1'='1"], ["--days", "../2022-04-08"], ["--table", "../../etc"], ["--table", "a`; x"]],
)
def test_a_command_line_names_days_and_tables_alone(arguments: list[str], lake: Lake) -> None:
    assert main(["validate", "--conf", DEMO, "--lake", lake.root, *arguments]) == 2


def test_a_run_has_a_plain_name(lake: Lake) -> None:
    storage.write_json(lake.uri("models", "latest.json"), {"run_id": "x' OR '1'='1"})
    with pytest.raises(DataError, match="names a run"):
        latest_run(lake)


def test_yaml_makes_no_objects(tmp_path: Path) -> None:
    path = tmp_path / "conf.yaml"
    path.write_text("name: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(ConfigError, match="not YAML"):
        config.load(path)


def test_a_run_keeps_no_secret_and_loads_again(lake: Lake) -> None:
    settings = [f"spark.hadoop.fs.s3a.secret.key={SECRET}", f"spark.hadoop.fs.azure.account.key.x={SECRET}"]
    conf = toy_conf(*settings, "spark.ssl.keyPassword=" + SECRET, "spark.executor.memory=1g")
    described = Run.of(conf, write_toy_lake(lake, conf, rows=300)).describe()
    assert SECRET not in json.dumps(described, default=str)
    again = Config.model_validate(described["conf"])
    assert again.spark["spark.executor.memory"] == "1g"
    with pytest.raises(ConfigError) as refused:
        toy_conf(f"spark.hadoop.fs.s3a.secret.key=[{SECRET}]")
    assert SECRET not in str(refused.value)


class Payload:
    """Pickled, it writes a file where it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, ...]]:
        return os.mkdir, (str(self.path),)


def test_data_is_never_unpickled(lake: Lake, tmp_path: Path) -> None:
    conf = toy_conf()
    write_toy_lake(lake, conf, rows=300)
    loaded = tmp_path / "loaded"
    schema = pa.schema([("x", pa.int32())], {b"dataset-toolkit.unischema.v1": pickle.dumps(Payload(loaded))})
    for folder in (path.parent for path in list(Path(lake.uri("gold/ctr_samples")).rglob("*.parquet"))):
        pq.write_metadata(schema, folder / "_common_metadata")
    snapshot = Snapshot.of(lake, "gold/ctr_samples", lake.version("gold/ctr_samples"), conf.train_days, "train")
    feed = TableFeed(snapshot, list(conf.fields), {"ctr": "clicked"}, batch_size=64, shuffle=False)
    assert sum(len(batch.ids) for batch in feed.epoch(0)) == snapshot.rows
    assert not loaded.exists()


def test_nothing_loads_pickles() -> None:
    loads = re.compile(
        r"pickle\.loads?|allow_pickle=True|joblib|torch\.load\((?!.*weights_only=True)|yaml\.(unsafe_)?load\("
    )
    safe = "yaml.load(text, Loader=_Loader)"  # a SafeLoader
    found = [
        f"{path}: {line.strip()}"
        for path in sources("ncs", "jobs", "validation")
        for line in path.open()
        if loads.search(line) and safe not in line
    ]
    assert not found
