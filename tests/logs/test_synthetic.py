"""The generator: the same rows however they are computed, a truth that scores as promised, folders and broken rows."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import rankdata

from jobs.job import Job
from jobs.pipeline import generate
from ncs.days import Days
from ncs.errors import ConfigError
from ncs.lake import storage
from ncs.logs import synthetic
from ncs.logs.draws import choice, normal, uniform
from ncs.logs.schedule import REACH
from ncs.logs.synthetic import draw_samples, generate_day, profiles
from ncs.logs.world import World

SMALL = (
    "logs.impressions=3000",
    "logs.synthetic.users=200",
    "logs.synthetic.videos=80",
    "logs.days=2022-04-08..2022-04-10",
)


@pytest.fixture(scope="module")
def conf(load_conf):
    return load_conf(*SMALL, "logs.synthetic.dirty=0.05")


@pytest.fixture(scope="module")
def middle_day(conf):
    return conf.logs.days.first + timedelta(days=1)


@pytest.fixture(scope="module")
def folders(conf, middle_day):
    """The rows of the middle day, by log."""
    return {log: rows.table(rows.ids).to_pylist() for log, rows in generate_day(conf.logs, middle_day).items()}


@pytest.fixture(scope="module")
def drawn(load_conf):
    """The truth and the labels of 30,000 impressions."""
    world = World(load_conf("logs.impressions=30000").logs)
    rows = np.arange(30_000)
    shown = world.impressions(rows)
    responses = world.responses(rows, shown)
    length = world.videos(shown["video_id"])["length_seconds"]
    return {**shown, **world.truth(shown), **responses, "cvr": np.minimum(responses["watched_seconds"] / length, 1)}


def test_draws_are_uniform_normal_and_follow_their_ids():
    ids = np.arange(100_000)
    drawn = uniform(7, "a", ids)
    assert 0 < drawn.min() < drawn.max() < 1
    assert np.histogram(drawn, 20, (0, 1))[0] == pytest.approx(np.full(20, 5000), rel=0.06)
    assert normal(7, "a", ids).std() == pytest.approx(1, abs=0.01)
    others = [uniform(7, "b", ids), uniform(8, "a", ids), uniform(7, "a", ids + 1), uniform(7, "a", ids, 0)]
    assert all(abs(np.corrcoef(drawn, other)[0, 1]) < 0.015 for other in others)
    assert np.array_equal(drawn[::-7], uniform(7, "a", ids[::-7]))
    assert np.bincount(choice(7, "a", (0.2, 0.5, 0.3), ids)) / 1e5 == pytest.approx([0.2, 0.5, 0.3], abs=0.01)


def test_labels_have_the_rates_of_the_paper(drawn):
    clicked = drawn["clicked"]
    assert clicked.mean() == pytest.approx(0.41, abs=0.015)
    assert drawn["cvr"][clicked].mean() == pytest.approx(0.5, abs=0.015)
    assert drawn["cvr"][clicked].var() == pytest.approx(0.155, abs=0.006)


def test_clicks_can_be_rarer_and_are_watched_as_much(load_conf):
    world = World(load_conf("logs.impressions=30000", "logs.synthetic.click_rate=0.05").logs)
    rows = np.arange(30_000)
    shown = world.impressions(rows)
    clicked = world.responses(rows, shown)["clicked"]
    assert clicked.mean() == pytest.approx(0.05, abs=0.005)
    assert world.expected_cvr(shown)[clicked].mean() == pytest.approx(0.5, abs=0.02)


def test_truth_is_calibrated_and_scores_in_its_band(drawn):
    clicked, probability = drawn["clicked"], drawn["click_probability"]
    ranks, n = rankdata(probability), clicked.sum()
    auc = (ranks[clicked].sum() - n * (n + 1) / 2) / (n * (len(clicked) - n))
    assert 0.85 < auc < 0.88
    error = (drawn["cvr"] - drawn["expected_cvr"])[clicked]
    assert 0.105 < (error**2).mean() < 0.116
    assert error.mean() == pytest.approx(0, abs=0.01)
    assert (clicked - probability).mean() == pytest.approx(0, abs=0.01)
    assert 0 < probability.min() < probability.max() < 1


def test_popularity_has_a_long_tail(drawn):
    for column, tenth in (("user_id", 0.316), ("video_id", 0.351)):  # 0.1 ** (1 / tail)
        counts = np.sort(np.bincount(drawn[column]))[::-1]
        size = {"user_id": 1500, "video_id": 400}[column]
        assert counts[:size].sum() / counts.sum() == pytest.approx(tenth, abs=0.05)


def test_conflict_turns_what_draws_clicks_against_what_is_watched(load_conf):
    correlation = []
    for conflict in (0.0, 0.5, 1.0):
        world = World(load_conf("logs.impressions=20000", f"logs.synthetic.conflict={conflict}").logs)
        correlation.append(np.corrcoef(*world.logits(world.impressions(np.arange(20_000))))[0, 1])
    assert correlation[0] > 0.6
    assert correlation[2] < -0.1
    assert correlation[0] > correlation[1] + 0.3 > correlation[2] + 0.6


def test_counterfactual_asks_for_any_video(conf):
    world = World(conf.logs)
    shown = world.impressions(np.arange(50))
    other = {**shown, "video_id": (shown["video_id"] + 1) % 80}
    assert np.array_equal(world.click_probability(shown), world.truth(shown)["click_probability"])
    assert np.array_equal(world.expected_cvr(shown), world.truth(shown)["expected_cvr"])
    assert not np.isclose(world.click_probability(shown), world.click_probability(other)).any()


def test_long_videos_are_watched_to_a_lower_share(drawn, load_conf):
    length = World(load_conf().logs).videos(drawn["video_id"])["length_seconds"]
    long = length > np.median(length)
    assert drawn["expected_cvr"][long].mean() < drawn["expected_cvr"][~long].mean() - 0.03


def test_rows_do_not_depend_on_the_parts(conf, middle_day, folders, monkeypatch):
    monkeypatch.setattr(synthetic, "_IDS_PER_PART", 400)
    parted = generate_day(conf.logs, middle_day)
    assert len(parted["clicks"].parts) == 3
    for log, rows in folders.items():
        parts = [row for ids in parted[log].parts for row in parted[log].table(ids).to_pylist()]
        assert sorted(map(str, parts)) == sorted(map(str, rows))


def test_further_impressions_of_a_day_are_drawn_as_the_logged_ones_are(spark, conf, middle_day):
    rows = draw_samples(spark, conf.logs, middle_day, 4000).toPandas()
    assert rows["impression_id"].nunique() == 4000
    world = World(conf.logs)
    start, end = world.schedule.bounds(middle_day)
    ts = rows["ts"].astype("datetime64[us]").astype("int64")
    assert ((start <= ts) & (ts < end)).all()
    logged = world.impressions(np.array(world.schedule.rows(middle_day)))
    hours = [np.histogram((times - start) / (end - start), 6, (0, 1))[0] / len(times) for times in (ts, logged["ts"])]
    assert hours[0] == pytest.approx(hours[1], abs=0.05)
    assert rows["clicked"].mean() == pytest.approx(rows["click_probability"].mean(), abs=0.03)
    labelled = rows[rows["clicked"] == 1].dropna(subset=["cvr"])
    assert labelled["cvr"].mean() == pytest.approx(labelled["expected_cvr"].mean(), abs=0.03)
    assert rows.loc[rows["clicked"] == 0, "cvr"].isna().all()
    assert 0 < (~(rows["length_seconds"] > 0)).mean() < 0.2, "broken lengths are those of the videos"


def test_another_seed_gives_other_rows(conf):
    other = World(conf.logs.model_copy(update={"seed": 8}))
    rows = np.arange(1000)
    assert (other.impressions(rows)["user_id"] == World(conf.logs).impressions(rows)["user_id"]).mean() < 0.05


def test_days_share_the_impressions_and_events_spill_into_the_next(conf):
    world, days = World(conf.logs), list(conf.logs.days)
    assert [len(world.schedule.rows(day)) for day in days] == [1000, 1000, 1000]
    everything = np.arange(3000)
    shown = world.impressions(everything)["ts"]
    assert (np.diff(shown) > 0).all()
    for events in (world.clicks(everything), world.plays(everything)):
        wait = events["ts"] - shown[events["index"]]
        assert 0 < wait.min() < wait.max() < REACH
        start, end = world.schedule.bounds(days[1])
        on_day = events["index"][(start <= events["ts"]) & (events["ts"] < end)]
        assert set(on_day) <= set(world.schedule.rows_with_events(days[1]))


def test_rows_stand_in_the_folder_of_their_day(folders, middle_day):
    for log in ("impressions", "clicks", "plays"):
        days = {row["ts"].date() for row in folders[log] if row["impression_id"].startswith("i")}
        assert days == {middle_day}


def test_segments_add_up_to_the_watch(conf):
    world, rows = World(conf.logs), np.arange(3000)
    plays = world.plays(rows)
    watched = world.responses(rows, world.impressions(rows))["watched_seconds"]
    assert np.bincount(plays["index"], plays["watched_seconds"], 3000) == pytest.approx(watched, abs=1e-6)
    segments = np.bincount(plays["index"])
    assert set(segments[segments > 0]) == {1, 2, 3}
    assert (plays["watched_seconds"] >= 0).all()


def test_every_kind_of_broken_row_is_there_and_no_clean_one_is_lost(conf, load_conf, folders, middle_day):
    clean = load_conf(*SMALL, "logs.synthetic.dirty=0")
    for log, rows in generate_day(clean.logs, middle_day).items():
        assert set(map(str, rows.table(rows.ids).to_pylist())) <= set(map(str, folders[log]))
    impressions, clicks, plays = (folders[log] for log in ("impressions", "clicks", "plays"))
    first: dict = {}
    for row in impressions:
        first[row["impression_id"]] = min(row["ts"], first.get(row["impression_id"], row["ts"]))
    found = {
        "repeated": len(impressions) - len(first),
        "wrong_day": sum(row["ts"].date() != middle_day for row in impressions),
        "negative": sum(row["watched_seconds"] < 0 for row in plays),
        "nan": sum(np.isnan(row["watched_seconds"]) for row in plays),
        "infinite": sum(np.isinf(row["watched_seconds"]) for row in plays),
    }
    for log, events in (("clicks", clicks), ("plays", plays)):
        known = [row for row in events if row["impression_id"] in first]
        found[f"{log} of none"] = sum(row["impression_id"].startswith("x") for row in events)
        found[f"{log} early"] = sum(row["ts"] < first[row["impression_id"]] for row in known)
    assert all(5 <= count <= 100 for count in found.values()), found


def test_profiles_have_broken_lengths(load_conf):
    made = profiles(load_conf(*SMALL, "logs.synthetic.videos=400", "logs.synthetic.dirty=0.05").logs)
    users, videos = (rows.table(rows.ids).to_pandas() for rows in made.values())
    assert (len(users), users.user_id.nunique()) == (200, 200)
    assert (len(videos), videos.video_id.nunique()) == (400, 400)
    assert users.active_days.between(1, 180).all()
    length = videos.length_seconds
    assert 8 < length.isna().sum() < 35
    assert 8 < (length <= 0).sum() < 35
    assert length[length > 0].between(5, 900).all()


def test_local_midnight_parts_the_days(load_conf):
    world = World(load_conf(*SMALL, "logs.timezone=Asia/Shanghai").logs)
    first = datetime(2022, 4, 7, 16, tzinfo=UTC).timestamp() * 1e6
    assert world.schedule.bounds(world.schedule.days.first) == (first, first + 86400e6)


def test_day_outside_of_the_world_is_refused(conf):
    with pytest.raises(ConfigError, match="2023-01-01"):
        generate_day(conf.logs, Days.parse("2023-01-01").first)


def test_job_skips_what_is_there_and_goes_on_after_a_kill(spark, conf, lake, middle_day):
    job = Job(conf, lake, Days(middle_day, middle_day), quiet=True)
    generate.run(job)
    before = storage.files(lake.landing)
    rows = _rows(lake, middle_day)
    generate.run(job)
    assert storage.files(lake.landing) == before

    storage.remove(storage.join(lake.landing, "_generated", f"{middle_day}.json"))
    part = next(name for name in before if name.startswith("clicks/"))
    storage.remove(storage.join(lake.landing, part))
    storage.write_bytes(storage.join(lake.landing, "plays", f"day={middle_day}", "part-half.parquet"), b"PAR1")
    generate.run(job)
    assert _rows(lake, middle_day) == rows
    after = storage.files(lake.landing)
    assert _profiles(after) == _profiles(before)


def test_job_leaves_real_logs_alone(load_conf, lake, tmp_path):
    conf = load_conf(f"logs.source={tmp_path}")
    generate.run(Job(conf, lake, conf.logs.days, quiet=True))
    assert not storage.exists(lake.landing)


def _rows(lake, day):
    read = {}
    for log in ("impressions", "clicks", "plays", "truth"):
        table = pq.read_table(storage.join(lake.landing, log, f"day={day}"), partitioning=None)
        read[log] = sorted(map(str, table.to_pylist()))
    return read


def _profiles(files):
    return {name: stat for name, stat in files.items() if name.startswith(("users/", "videos/"))}
