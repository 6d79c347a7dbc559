"""Estimate what rankings by the newest run's predictions would earn in watch time, from KuaiRand's random logs."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow  # noqa: F401  (before torch: the other order has crashed)
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.job import Job
from jobs.pipeline.rankers import Rankers, load
from ncs.config import digest
from ncs.errors import ConfigError, DataError
from ncs.kinds import Layout
from ncs.kinds.arrays import stack
from ncs.lake import layout, storage
from ncs.logs.kuairand import KuaiRand
from ncs.logs.pseudonyms import Pseudonyms
from ncs.off_policy.estimators import OffPolicy, estimate, weights
from ncs.off_policy.exposed import Exposed, ranked
from ncs.text import markdown


def run(job: Job) -> None:
    """Estimate, print the table."""
    conf = job.conf
    if conf.logs.adapter != "kuairand":
        raise ConfigError(
            f"logs.adapter: only KuaiRand's logs hold videos that chance chose, not those of {conf.logs.adapter!r}; "
            f"synthetic logs have `ncs simulate`"
        )
    wanted, rankers = conf.offpolicy, load(job)
    if rankers.conf.statistics or rankers.conf.history:
        raise ConfigError(
            f"statistics, history: run {rankers.run_id} has them as inputs, the random log's rows lack them; train and "
            f"estimate with `--set statistics=[] --set history={{}}`"
        )
    shown = _exposed(job, rankers)
    if len(shown.pool_lengths) <= wanted.others:
        raise DataError(
            f"the random log shows {len(shown.pool_lengths)} videos, offpolicy.others asks for {wanted.others} beside "
            f"each; lower it"
        )
    pairs = conf.simulate.pairs
    estimates = []
    for scores, beaten in ranked(shown, pairs, rankers.scorers, wanted.others, wanted.seed):
        weight = weights(beaten, wanted.others, wanted.candidates)
        estimates.append(estimate(shown.users, shown.rewards, scores, weight, wanted.candidates, wanted.seed))
    table = _as_table([f"{n}) {click}, {watch}" for n, (click, watch) in enumerate(pairs, start=1)], estimates)
    words = (
        f"Seconds watched an impression if the best of {wanted.candidates} videos that chance draws is shown, ranked "
        f"by pCTR * pCVR * length; 95 % intervals over {len(np.unique(shown.users)):,} users. effective: impressions "
        f"of the policy's own that would tell as much, of {len(shown.users):,} that were logged. Run {rankers.run_id}."
    )
    path = job.lake.uri("reports", f"offpolicy-{digest([rankers.key(), pairs, wanted.model_dump()])}.md")
    storage.write_bytes(path, f"{table}\n\n{words}\n".encode())
    print(f"{table}\n\n{words}\noffpolicy: {path}")


def _exposed(job: Job, rankers: Rankers) -> Exposed:
    """The random log of some users, and the pool, as ids."""
    wanted, conf = job.conf.offpolicy, rankers.conf
    root = storage.absolute(wanted.source or job.conf.logs.source or "")
    source = KuaiRand(root, conf.logs.timezone, Pseudonyms.of(job.conf.privacy.key))
    log = source.exposed(job.spark).where("length_seconds > 0")
    videos = log.groupBy("video_id").agg(F.max("length_seconds").alias("length_seconds"))
    videos = videos.join(job.read(layout.VIDEOS).drop("length_seconds"), "video_id", "left")
    share = wanted.rows / max(log.count(), 1)
    chosen = F.pmod(F.xxhash64("user_id", F.lit(wanted.seed)), F.lit(1_000_000)) < int(share * 1_000_000)
    rows = log.drop("length_seconds").where(chosen).join(job.read(layout.USERS), "user_id", "left")
    slots, features = conf.layout, conf.features
    of_videos = [name for name in slots.names if features[name].side == "video"]
    of_rows = [name for name in slots.names if features[name].side != "video"]
    pool = _encoded(rankers, videos.orderBy("video_id"), of_videos, ["video_id", "length_seconds"])
    own = _encoded(
        rankers, rows.orderBy("user_id", "ts", "video_id"), of_rows, ["user_id", "video_id", "watched_seconds"]
    )
    if not len(own["#user_id"]):
        raise DataError(f"the random log has no rows with a length of {wanted.rows} that were asked for; see offpolicy")
    shown = np.searchsorted(pool["#video_id"], own["#video_id"])
    columns = {**own, **{name: pool[name][shown] for name in of_videos}}
    return Exposed(
        users=own["#user_id"],
        inputs=stack(slots, columns, len(shown)),
        videos=shown,
        rewards=own["#watched_seconds"],
        pool=stack(Layout.of(slot for slot in slots.slots if slot.name in of_videos), pool, len(pool["#video_id"])),
        pool_lengths=pool["#length_seconds"],
        id_columns=_columns(slots.id_spans, of_videos),
        number_columns=_columns(slots.number_spans, of_videos),
    )


def _columns(spans: Mapping[str, slice], names: Sequence[str]) -> list[int]:
    """The columns of some features."""
    return [column for name in names if name in spans for column in range(spans[name].start, spans[name].stop)]


def _encoded(rankers: Rankers, rows: DataFrame, fields: Sequence[str], plain: Sequence[str]) -> dict[str, np.ndarray]:
    """The encoded columns of fields, and further ones as they are (`#name`). Spark makes text, as in `ncs encode`."""
    conf = rankers.conf.fields
    for name in fields:
        if name not in rows.columns:
            raise DataError(f"fields.{name}: no such column in the random log, bronze/users or bronze/videos")
    types = {name: "string" if conf[name].encode == "vocabulary" else "double" for name in fields}
    columns = [F.col(name).cast(dtype).alias(name) for name, dtype in types.items()]
    frame: pd.DataFrame = rows.select(*columns, *[F.col(name).alias(f"#{name}") for name in plain]).toPandas()
    encoded = {name: rankers.encoder.column(name, frame[name].to_numpy()) for name in fields}
    return encoded | {f"#{name}": frame[f"#{name}"].to_numpy() for name in plain}


def _as_table(arms: Sequence[str], by_arm: Sequence[Sequence[OffPolicy]]) -> str:
    """A line an arm, in Markdown; first what chance earned."""
    names = [estimate.estimator for estimate in by_arm[0][1:]]
    lines = [["ranks by", *names, *(f"effective, {name}" for name in names)]]
    lines.append(["chance (as logged)", _interval(by_arm[0][0]), *[""] * (2 * len(names) - 1)])
    for arm, estimates in zip(arms, by_arm, strict=True):
        lines.append([arm, *map(_interval, estimates[1:]), *(f"{each.effective:,.0f}" for each in estimates[1:])])
    return markdown(lines)


def _interval(estimate: OffPolicy) -> str:
    return "-" if np.isnan(estimate.value) else f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"
