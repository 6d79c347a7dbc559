"""Random logs and expressions through the Spark stages, many cases an action: a day each, a task each."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given
from hypothesis import settings as tries
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from jobs.pipeline.ingest import TABLES
from ncs.config.expressions import parse_expression
from ncs.days import Days
from ncs.errors import ConfigError, DataError
from ncs.features.encoding import check_columns, check_labels
from ncs.lake.layout import Lake
from ncs.tasks import named_tasks
from tests.factories import ROOT, toy_conf
from tests.faults import odd_logs, strategies
from tests.faults.lakes import SPARK
from tests.faults.odd_logs import DAY_LOGS, Odd
from tests.faults.outcomes import call, state
from tests.faults.test_fuzz import few

WIDE = ["gates.click_rate=[0.0, 1.0]", "gates.mean_cvr=[0.0, 1.0]", "gates.max_unlabelled=1.0", "gates.learnt.days=0"]

CONF = toy_conf()


class Logs:
    """Landing folders of some days, and the lake that is made from them."""

    def __init__(self, root: Path, days: Days, private: bool) -> None:
        self.root, self.days, self.lake = root / "logs", days, Lake.at(str(root / "lake"))
        settings = [*SPARK, *WIDE, f"logs.source={self.root}", f"logs.days={days}", "encode.rows_per_file=64"]
        if private:
            strategies.write(root / "key", b"k" * 32)
            settings.append(f"privacy.key=file:{root / 'key'}")
        conf = ["--conf", str(ROOT / "conf" / "demo.yaml"), "--lake", self.lake.root]
        self.args = [*conf, *(f"--set={setting}" for setting in settings)]

    def folder(self, log: str, day: date | None) -> Path:
        return self.root / log / (f"day={day}" if day else "")

    def deliver(self, days: Days | list[date]) -> None:
        """Write whole logs of these days, and whole profiles."""
        for log, table in odd_logs.profiles().items():
            odd_logs.write(self.folder(log, None), table)
        for day in days:
            for log, table in odd_logs.tables(day).items():
                odd_logs.write(self.folder(log, day), table)

    def deliver_odd(self, day: date, random: Random) -> tuple[str, Odd]:
        """Write one of a day's logs with something odd about it."""
        log = random.choice(["impressions", "impressions", "impressions", "clicks", "plays"])
        return log, odd_logs.write_odd(self.folder(log, day), odd_logs.tables(day)[log], random)

    def taken(self) -> set[date]:
        return {date.fromisoformat(day) for day in self.lake.records(TABLES["impressions"])}


def check_rows(logs: Logs, log: str, day: date, odd: Odd) -> None:
    """What bronze has of a log that it took are its rows, each column with as many different values."""
    table = TABLES[log]
    assert odd.legible, f"{log} of {day} is not UTF-8, and was taken"
    if not odd.known:
        return
    assert logs.lake.rows_by_day(table).get(str(day), 0) == len(odd.table), (log, odd.table.schema)
    columns = [name for name in logs.lake.table(table).schema().to_arrow().names if name in odd.table.column_names]
    files = [file for file in logs.lake.table(table).file_uris() if f"day={day}/" in file]
    found = [pq.ParquetFile(file).read() for file in files]
    for name in set(columns) - {"day"}:
        kept, column = [each[name].combine_chunks() for each in found], odd.table[name]
        if pa.types.is_list(column.type):  # Arrow counts no lists
            assert {str(value) for each in kept for value in each} == {str(value) for value in column}, (log, name)
            continue
        values = {value for each in kept for value in pc.unique(each).to_pylist()}
        void = pa.types.is_null(column.type)  # of which Arrow counts nothing
        if pa.types.is_dictionary(column.type):  # nor of these
            column = column.cast(column.type.value_type)
        expected = 0 if void else pc.count_distinct(column, mode="only_valid").as_py()
        assert len(values - {None}) == expected, (log, name, odd.table.schema.field(name))


def check_odd_days(root: Path, seed: int, days: Days, stages: Sequence[str], odd_profiles: bool) -> None:
    """Odd days are taken whole or blocked alone, each with its reason; corrected, the same commands pass."""
    random = Random(seed)
    logs = Logs(root, days, private=random.random() < 0.5)
    logs.deliver(days)
    if odd_profiles:
        log = random.choice(["users", "videos"])
        odd_logs.write_odd(logs.folder(log, None), odd_logs.profiles()[log], random)
    odd = {day: logs.deliver_odd(day, random) for day in list(days)[1:]}
    first = call("ingest", *logs.args)
    first.check("ingest")
    if first.code not in (0, 3):
        assert not state(logs.lake, list(TABLES.values())), "an error, and yet there are tables"
        logs.deliver([])
        first = call("ingest", *logs.args)
        first.check("ingest")
    assert first.code in (0, 3), first.said
    blocked = set(days) - logs.taken()
    assert (first.code == 3) == bool(blocked), first.said
    assert len(first.lines) == 1 + len(blocked) or not blocked, first.said
    for name in DAY_LOGS:
        there = (
            {date.fromisoformat(day) for day in logs.lake.rows_by_day(TABLES[name])}
            if logs.lake.has(TABLES[name])
            else set()
        )
        assert not there & blocked, f"{name} of a blocked day"
    for day, (log, one) in odd.items():
        if day not in blocked:
            check_rows(logs, log, day, one)
    for stage in stages:  # on what was taken; blocked days are not there, which a stage says in a line
        call(stage, *logs.args).check(stage)
    logs.deliver(days)
    for stage in ("ingest", *stages):
        outcome = call(stage, *logs.args)
        assert outcome.code == 0, outcome.said
    rows = dict.fromkeys(map(str, days), odd_logs.ROWS)
    assert logs.lake.rows_by_day(TABLES["impressions"]) == rows


def test_odd_days_are_taken_whole_or_blocked_alone(spark: SparkSession, tmp_path: Path) -> None:
    check_odd_days(tmp_path, 175, Days.parse("2022-04-08..2022-04-10"), [], odd_profiles=False)


@pytest.mark.slow
@tries(few(25), derandomize=False, phases=[Phase.generate])
@given(seed=st.integers(0, 2**32))
def test_many_odd_days(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    check_odd_days(
        tmp_path_factory.mktemp("odd"),
        seed,
        Days.parse("2022-04-08..2022-04-15"),
        ["label", "encode"],
        odd_profiles=True,
    )


def accepted(number: int) -> list[str]:
    """Expressions that the configuration takes."""
    found: dict[str, None] = {}

    @few(number)
    @given(text=strategies.expressions)
    def collect(text: str) -> None:
        with suppress(ValueError):
            found.setdefault(parse_expression(text).sql)

    collect()
    return list(found)


def check_expressions(spark: SparkSession, texts: list[str]) -> None:
    """What passes the configuration is computed by Spark, or refused with its key before anything is written."""
    samples = spark.sql(
        "SELECT 'a' AS impression_id, 1L AS user_id, 2L AS video_id, TIMESTAMP '2022-04-08 12:00:00' AS ts, "
        "DATE '2022-04-08' AS day, 'x' AS scene, 0 AS position, 20D AS length_seconds, 1 AS clicked, "
        "0D AS watched_seconds, CAST(NULL AS DOUBLE) AS cvr"
    ).localCheckpoint()  # so that rows are computed in tasks, not while Spark plans
    for text in texts:
        for key in ("label", "where"):
            task = {"label": "cvr", "loss": "squared_error", "metric": "mse", key: text}
            try:
                tasks = named_tasks(CONF.with_keys({"tasks.further": task}))
            except ConfigError:  # a label that knows a feature
                continue
            try:
                check_columns(samples, {}, tasks)
                check_labels(samples, tasks)
            except DataError as err:
                assert str(err).startswith("tasks.further")  # noqa: PT017
                assert len(str(err).splitlines()) == 1  # noqa: PT017


def test_expressions_are_computed_or_refused_with_their_key(spark: SparkSession) -> None:
    check_expressions(spark, accepted(60))


@pytest.mark.slow
def test_many_expressions_in_spark(spark: SparkSession) -> None:
    check_expressions(spark, accepted(1500))
