"""Who may change what is written, what a configuration can reach, and that secrets and users stay unknown."""

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
from pyspark.sql import SparkSession

from jobs.cli import main
from jobs.job import Job
from jobs.pipeline import ingest, label
from jobs.pipeline.runs import latest_run, read_run
from ncs import config
from ncs.config import Config
from ncs.data_loading import Snapshot, TableLoader
from ncs.days import Days
from ncs.errors import ConfigError, DataError
from ncs.lake import layout, storage
from ncs.lake.layout import Lake, Record
from ncs.lake.writer import replace_days, replace_run
from ncs.logs.kuairand import KuaiRand
from ncs.logs.pseudonyms import Pseudonyms, pseudonym
from ncs.runs.run import Run
from tests.factories import ROOT, run_description, toy_conf, write_toy_lake
from tests.faults.lakes import rows
from tests.faults.logs import DAYS, deliver
from tests.test_layers import sources

DEMO = str(ROOT / "conf" / "demo.yaml")
SECRET = "wJalrXUtnFEMI-K7MDENG"
KEY = "0123456789abcdef0123456789abcdef"


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
        "models={'../x': {module: mmoe}}",
        "models={x: {module: os}}",
        "logs.timezone=../../etc/passwd",
        "tasks.ctr.label=java_method('java.lang.System', 'getenv', 'HOME')",
        "tasks.ctr.label=reflect('java.lang.System', 'exit', 1)",
        "tasks.ctr.where=`try_reflect`('java.lang.System', 'getenv', 'HOME') IS NULL",
        "tasks.ctr.label=(SELECT max(user_id) FROM delta.`/other`)",
        "tasks.ctr.where=clicked IN ( SELECT 1)",
        "tasks.ctr.where=clicked IN (/* */ SELECT 1)",
        "privacy.key=0123456789abcdef",
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


@pytest.mark.parametrize("run_id", ["x' OR '1'='1", "toy-2", "../toy-1", "", None, 7, "toy-1\n", ["toy-1"], "x" * 300])
def test_a_run_s_description_is_that_of_its_own_folder(run_id: object, lake: Lake) -> None:
    storage.write_json(lake.uri("models", "latest.json"), {"run_id": "toy-1"})
    described = run_description("toy-1", {layout.VOCABULARY: 0, "gold/ctr_samples": 0}) | {"run_id": run_id}
    storage.write_json(lake.uri("models", "toy-1", "run.json"), described)
    for ask in (None, "toy-1"):
        with pytest.raises(DataError, match=r"toy-1/run\.json(: run_id| names a run| describes the run)"):
            read_run(lake, ask)


@pytest.mark.parametrize("key", ["2022-04-08' OR '1'='1", "x' OR '1'='1"])
def test_no_name_becomes_sql(key: str, spark: SparkSession, lake: Lake) -> None:
    rows = spark.createDataFrame([("a", "b")], "run_id string, day string")
    record = Record("predict", key, {})
    with pytest.raises((DataError, ValueError)):
        replace_run(rows, lake.uri(layout.PREDICTIONS), record, ("run_id",))
    with pytest.raises((DataError, ValueError)):
        replace_days(rows, lake.uri(layout.SAMPLES), [record])
    assert not lake.has(layout.PREDICTIONS)
    assert not lake.has(layout.SAMPLES)


def test_yaml_makes_no_objects(tmp_path: Path) -> None:
    path = tmp_path / "conf.yaml"
    path.write_text("name: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(ConfigError, match="not YAML"):
        config.load(path)


def test_a_run_keeps_no_secret_and_loads_again(lake: Lake) -> None:
    settings = [f"spark.hadoop.fs.s3a.secret.key={SECRET}", f"spark.hadoop.fs.azure.account.key.x={SECRET}"]
    conf = toy_conf(*settings, "spark.ssl.keyPassword=" + SECRET, "spark.executor.memory=1g")
    described = Run.of(conf, write_toy_lake(lake, conf, rows=300)).describe().model_dump()
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
    loader = TableLoader(snapshot, conf.layout, {"ctr": "clicked"}, batch_size=64, shuffle=False)
    assert sum(batch.features.rows for batch in loader.epoch(0)) == snapshot.rows
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


@pytest.fixture
def keyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCS_KEY", KEY)


@pytest.mark.usefixtures("keyed")
def test_users_are_nowhere_in_clear(
    spark: SparkSession, lake: Lake, tmp_path: Path, load_conf: Callable[..., Config]
) -> None:
    first = 987654300
    deliver(tmp_path / "logs", whole=True, first_user=first)
    settings = [f"logs.source={tmp_path}/logs", f"logs.days={DAYS}", "spark.sql.shuffle.partitions=2"]
    job = Job(load_conf(*settings, "privacy.key=env:NCS_KEY"), lake, DAYS, quiet=True)
    ingest.run(job)
    label.run(job)
    texts = [path.read_text(errors="ignore") for path in Path(lake.root).rglob("*.json")]
    for table in (*ingest.TABLES.values(), layout.SAMPLES, layout.QUARANTINE):
        found = rows(lake, table)
        assert sum(day.total() for day in found.values()) > 0, table
        texts.append(repr(found))
    assert not re.search(r"9876543\d\d", "".join(texts))
    assert KEY not in "".join(texts)
    users = job.read(layout.USERS).select("user_id").collect()
    assert {row.user_id for row in users} == {pseudonym(KEY.encode(), first + n) for n in range(20)}

    before = {table: lake.version(table) for table in ingest.TABLES.values()}
    again = Job(job.conf, lake, Days(DAYS.last, DAYS.last), quiet=True)
    ingest.run(again)
    assert {table: lake.version(table) for table in ingest.TABLES.values()} == before, "the same key: nothing is new"

    # Other days under another key, or none, would make another person of each user.
    other = Job(load_conf(*settings), lake, Days(DAYS.last, DAYS.last), quiet=True)
    with pytest.raises(DataError, match=rf"{DAYS.first}\.\.{DAYS.last}: its user ids were made with another key"):
        ingest.run(other)


def test_impressions_named_after_users_are_named_after_pseudonyms(spark: SparkSession) -> None:
    folder, day = str(ROOT / "tests" / "data" / "kuairand"), Days.parse("2022-04-12").first
    names = {}
    for key in (None, KEY.encode()):
        source = KuaiRand(folder, "Asia/Shanghai", Pseudonyms(key))
        read = source.read(spark, "impressions", [day]).select("impression_id", "user_id").collect()
        source.close()
        assert all(row.impression_id.startswith(f"{row.user_id}-") for row in read)
        names[key] = {row.user_id for row in read}
    plain, hidden = names.values()
    assert hidden == {pseudonym(KEY.encode(), user) for user in plain}
    assert not plain & hidden


def test_large_ids_beside_nulls_keep_their_own_pseudonyms(spark: SparkSession) -> None:
    ids = [None, *range(2**63 - 6, 2**63), -(2**63), 2**53 + 1]
    frame = spark.createDataFrame([(user,) for user in ids], "user_id bigint").coalesce(1)
    hidden = [row.user_id for row in Pseudonyms(KEY.encode()).hide(frame).collect()]
    assert hidden == [None if user is None else pseudonym(KEY.encode(), user) for user in ids]
    assert len(set(hidden)) == len(ids)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("env:NCS_NO_KEY", "holds 0 bytes, a key has 16 at least"),
        ("file:/nowhere/key", "no key can be read from file:/nowhere/key"),
    ],
)
def test_a_key_that_is_not_there_is_told(place: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Pseudonyms.of(place)


def test_a_key_shows_in_no_text(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    pseudonyms = Pseudonyms.of(f"file:{tmp_path}/key")
    assert pseudonyms.key == KEY.encode()
    assert KEY not in repr(pseudonyms)
    assert pseudonyms.fingerprint != Pseudonyms(b"another key of it").fingerprint
