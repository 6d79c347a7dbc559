"""How the Spark half grows: label and encode at several sizes, beside a plain Delta copy, DuckDB and Polars.

    make bench-spark                                        # 0.3, 1 and 3 million impressions
    .venv-bench/bin/python -m bench.spark --rows 10000000 --repeats 3 --json growth.json

At each size bronze tables are made, then the commands take turns: the stages `label` and `encode` as the daily run
calls them; a copy of the three logs from Delta to Delta in the same session, which is what reading and writing alone
cost; and the same label join in DuckDB and in Polars, from the bronze tables' Parquet files to Parquet. Medians of the
repeats; one more turn at the first size warms the JVM up and is not counted. `--skew` adds the label join of logs in
which one user has 5 % of the rows and one video 20 %.
"""

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import duckdb
import polars as pl
import psutil
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

from jobs.job import Job
from jobs.pipeline import encode, label
from ncs import config
from ncs.config import Config
from ncs.lake import layout
from ncs.lake.layout import ALL, Lake, Record
from ncs.lake.writer import replace_all, replace_days

LOGS = (layout.IMPRESSIONS, layout.CLICKS, layout.PLAYS)
WIDTH = 9  # days


@dataclass(frozen=True)
class Measured:
    """One command at one size."""

    rows: int
    command: str
    seconds: float
    rows_a_second: float
    peak_mib: float
    shuffle_mib: float
    files: int


def main() -> None:
    """Measure, print the table, keep it as JSON."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, nargs="+", default=[300_000, 1_000_000, 3_000_000], help="impressions")
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument(
        "--skew", action="store_true", help="also one user with 5 %%, one video with 20 %% of the rows"
    )
    options.add_argument("--commands", nargs="+", metavar="COMMAND", help="these alone, such as copy label encode")
    options.add_argument("--set", action="append", default=[], metavar="K=V", help="override a key, a.b=value")
    options.add_argument("--json", type=Path, help="file for the figures")
    args = options.parse_args()
    conf = config.load(Path(__file__).parent.parent / "conf" / "base.yaml", args.set)
    found: list[Measured] = []
    with tempfile.TemporaryDirectory(prefix="ncs-bench-") as folder:
        for n, rows in enumerate(args.rows):
            found += at_size(conf, Path(folder), rows, args.repeats, args.skew, args.commands, warm_up=int(n == 0))
            print(as_table(found), flush=True)
    if args.json:
        args.json.write_text(json.dumps([asdict(one) for one in found], indent=2) + "\n")


def at_size(
    conf: Config, folder: Path, rows: int, repeats: int, skew: bool, only: list[str] | None, warm_up: int
) -> list[Measured]:
    """All commands at one size, or `only` these, in turns, of which the first `warm_up` are not counted."""
    job = Job(conf, Lake.at(str(folder / str(rows))), conf.logs.days, quiet=True)
    make_bronze(job.spark, job.lake, conf, rows, skewed=False)
    commands: dict[str, tuple[Callable[[], None], Path]] = {
        "copy": (partial(copy, job, folder / "copy"), folder / "copy"),
        "label": (partial(label.run, job), Path(job.lake.uri("silver"))),
        "encode": (partial(encode.run, job), Path(job.lake.uri("gold"))),
        "duckdb": (partial(in_duckdb, job.lake, folder / "duckdb"), folder / "duckdb"),
        "polars": (partial(in_polars, job.lake, folder / "polars"), folder / "polars"),
    }
    if skew:
        other = Job(conf, Lake.at(str(folder / f"{rows}-skewed")), conf.logs.days, quiet=True)
        make_bronze(job.spark, other.lake, conf, rows, skewed=True)
        commands["label, skewed"] = partial(label.run, other), Path(other.lake.uri("silver"))
    if only:
        commands = {name: commands[name] for name in only}
    turns: dict[str, list[Measured]] = {name: [] for name in commands}
    for turn in range(warm_up + repeats):
        for name, (command, output) in commands.items():
            shutil.rmtree(output, ignore_errors=True)
            with measuring(job.spark) as figures:
                command()
            files = len([path for path in output.rglob("*.parquet") if "_delta_log" not in path.parts])
            one = Measured(
                rows, name, figures["seconds"], rows / figures["seconds"], figures["peak"], figures["shuffle"], files
            )
            print(f"{name} of {rows:,}: {one.seconds:.1f} s", file=sys.stderr, flush=True)
            if turn >= warm_up:
                turns[name].append(one)
    for lake in (str(rows), f"{rows}-skewed"):
        shutil.rmtree(folder / lake, ignore_errors=True)
    return [middle(ones) for ones in turns.values()]


def middle(turns: list[Measured]) -> Measured:
    """The turn with the median time."""
    return sorted(turns, key=lambda one: one.seconds)[(len(turns) - 1) // 2]


# What is measured


@contextmanager
def measuring(spark: SparkSession) -> Iterator[dict[str, float]]:
    """`seconds`, `peak` MiB of this process and all below it, `shuffle` MiB written, once the block has ended."""
    figures: dict[str, float] = {"peak": 0.0}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            figures["peak"] = max(figures["peak"], resident() / 2**20)

    watcher = threading.Thread(target=watch, daemon=True)
    before, started = shuffled(spark), time.perf_counter()
    watcher.start()
    try:
        yield figures
    finally:
        figures["seconds"] = time.perf_counter() - started
        done.set()
        watcher.join()
        figures["shuffle"] = (shuffled(spark) - before) / 2**20


def resident() -> int:
    """Bytes that this process and its children hold."""
    total, this = 0, psutil.Process()
    for process in (this, *this.children(recursive=True)):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def shuffled(spark: SparkSession) -> int:
    """Bytes of shuffles that the session has written so far."""
    executors = spark.sparkContext._jsc.sc().statusStore().executorList(True)
    return sum(executors.apply(n).totalShuffleWrite() for n in range(executors.size()))


# The logs


def make_bronze(spark: SparkSession, lake: Lake, conf: Config, rows: int, skewed: bool) -> None:
    """Bronze tables of so many impressions: a power law of users and videos, 41 % clicked, 1.4 segments a play."""
    users, videos = max(rows // 20, 100), max(rows // 75, 100)
    ids = spark.range(rows)
    user = F.floor(F.pow(draw("user"), 2) * users)
    video = F.floor(F.pow(draw("video"), 2.2) * videos)
    if skewed:
        user = F.when(draw("one user") < 0.05, users).otherwise(user)
        video = F.when(draw("one video") < 0.2, videos).otherwise(video)
    first = str(conf.logs.days.first)
    impressions = ids.select(
        F.concat(F.lit("i"), F.lpad("id", 12, "0")).alias("impression_id"),
        user.cast("long").alias("user_id"),
        video.cast("long").alias("video_id"),
        (F.lit(f"{first} 00:00:00").cast("timestamp").cast("double") + F.floor(F.col("id") * (WIDTH * 86_400 / rows)))
        .cast("timestamp")
        .alias("ts"),
        (1 + F.floor(draw("position") * 12)).cast("int").alias("position"),
        F.element_at(
            F.array(*map(F.lit, ("discover", "follow", "home", "related"))), 1 + F.floor(draw("scene") * 4).cast("int")
        ).alias("scene"),
        F.lit("phone").alias("device"),
        "id",
    )
    clicked = impressions.where(draw("clicked") < 0.41)
    later = (F.col("ts").cast("double") + 1 + draw("delay") * 60).cast("timestamp").alias("ts")
    clicks = clicked.select("impression_id", later)
    segments = F.explode(F.sequence(F.lit(1), 1 + F.floor(draw("segments") * 1.8).cast("int"))).alias("nth")
    plays = clicked.select("impression_id", "ts", "id", segments).select(
        "impression_id",
        (F.col("ts").cast("double") + F.col("nth") * 61).cast("timestamp").alias("ts"),
        (60 * draw("watched")).alias("watched_seconds"),
    )
    last = F.lit(str(conf.logs.days.last)).cast("date")
    for name, log in zip(LOGS, (impressions.drop("id"), clicks, plays), strict=True):
        log = log.withColumn("day", F.to_date("ts")).where(F.col("day") <= last).repartition("day")
        replace_days(log, lake.uri(name), [Record("bench", str(day), {}) for day in conf.logs.days])
    profiles = {
        layout.USERS: spark.range(users + 1).select(
            F.col("id").alias("user_id"),
            F.floor(draw("age") * 7).cast("string").alias("age_group"),
            (1 + F.floor(draw("active") * 180)).cast("int").alias("active_days"),
        ),
        layout.VIDEOS: spark.range(videos + 1).select(
            F.col("id").alias("video_id"),
            (5 + 200 * draw("length")).alias("length_seconds"),
            F.floor(F.col("id") / 8).alias("author_id"),
            F.floor(draw("category") * 20).cast("string").alias("category"),
        ),
    }
    for name, table in profiles.items():
        replace_all(table, lake.uri(name), Record("bench", ALL, {}))


def draw(what: str) -> Column:
    """A number in [0, 1) for each `id`."""
    return F.pmod(F.xxhash64("id", F.lit(what)), F.lit(1 << 30)) / (1 << 30)


# The yardsticks


def copy(job: Job, into: Path) -> None:
    """The three logs, read and written as they are."""
    for name in LOGS:
        job.read(name).write.format("delta").partitionBy("day").save(str(into / name))


def files(lake: Lake, name: str) -> list[str]:
    """The Parquet files of a bronze table."""
    return sorted(str(path) for path in Path(lake.uri(name)).rglob("*.parquet") if "_delta_log" not in path.parts)


def in_duckdb(lake: Lake, into: Path) -> None:
    """The label join of clean logs, in DuckDB."""
    into.mkdir()
    tables = {name.split("/")[1]: files(lake, name) for name in (*LOGS, layout.USERS, layout.VIDEOS)}
    reads = {name: f"read_parquet({paths}, hive_partitioning = true)" for name, paths in tables.items()}
    duckdb.sql(
        f"""
        COPY (
            WITH shown AS (SELECT * FROM {reads["impressions"]}
                           QUALIFY row_number() OVER (PARTITION BY impression_id ORDER BY ts) = 1),
            events AS (SELECT impression_id, ts, 1 AS clicked, NULL AS seconds
                       FROM (SELECT DISTINCT * FROM {reads["clicks"]})
                       UNION ALL
                       SELECT impression_id, ts, NULL, watched_seconds FROM (SELECT DISTINCT * FROM {reads["plays"]})),
            told AS (SELECT impression_id, max(clicked) AS clicked, sum(seconds) AS watched
                     FROM events JOIN shown USING (impression_id)
                     WHERE events.ts BETWEEN shown.ts AND shown.ts + INTERVAL 24 HOURS GROUP BY impression_id)
            SELECT shown.*, u.* EXCLUDE user_id, v.* EXCLUDE video_id,
                   coalesce(clicked, 0) AS clicked, coalesce(watched, 0) AS watched_seconds,
                   CASE WHEN clicked = 1 AND length_seconds > 0
                        THEN least(coalesce(watched, 0) / length_seconds, 1) END AS cvr
            FROM shown LEFT JOIN told USING (impression_id) LEFT JOIN {reads["users"]} u USING (user_id)
                 LEFT JOIN {reads["videos"]} v USING (video_id)
        ) TO '{into}/samples' (FORMAT parquet, PARTITION_BY (day))
        """
    )


def in_polars(lake: Lake, into: Path) -> None:
    """The label join of clean logs, in Polars."""
    into.mkdir()
    impressions, clicks, plays, users, videos = (
        pl.scan_parquet(files(lake, name), hive_partitioning=True) for name in (*LOGS, layout.USERS, layout.VIDEOS)
    )
    shown = impressions.sort("ts").unique("impression_id", keep="first")
    events = pl.concat(
        [
            clicks.unique().select(
                "impression_id", "ts", pl.lit(1).alias("clicked"), pl.lit(None, pl.Float64).alias("seconds")
            ),
            plays.unique().select(
                "impression_id",
                "ts",
                pl.lit(None, pl.Int32).alias("clicked"),
                pl.col("watched_seconds").alias("seconds"),
            ),
        ]
    )
    told = (
        events.join(shown.select("impression_id", pl.col("ts").alias("shown")), on="impression_id")
        .filter((pl.col("ts") - pl.col("shown")).dt.total_seconds().is_between(0, 86_400))
        .group_by("impression_id")
        .agg(pl.col("clicked").max(), pl.col("seconds").sum().alias("watched_seconds"))
    )
    share = (pl.col("watched_seconds") / pl.col("length_seconds")).clip(upper_bound=1)
    samples = (
        shown.join(told, on="impression_id", how="left")
        .join(users, on="user_id", how="left")
        .join(videos, on="video_id", how="left")
        .with_columns(pl.col("clicked").fill_null(0), pl.col("watched_seconds").fill_null(0))
        .with_columns(pl.when((pl.col("clicked") == 1) & (pl.col("length_seconds") > 0)).then(share).alias("cvr"))
    )
    samples.collect(engine="streaming").write_parquet(into / "samples", partition_by="day")


def as_table(found: list[Measured]) -> str:
    """Markdown: a line a size and command, its time beside that of the copy."""
    lines = ["| impressions | command | s | rows/s | / copy | peak MiB | shuffle MiB | files |", "|" + "---|" * 8]
    copies = {one.rows: one.seconds for one in found if one.command == "copy"}
    for one in found:
        lines.append(
            f"| {one.rows:,} | {one.command} | {one.seconds:.1f} | {one.rows_a_second:,.0f} | "
            f"{one.seconds / copies[one.rows]:.2f} | {one.peak_mib:,.0f} | {one.shuffle_mib:,.0f} | {one.files} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
