"""Whether a partition is current, and why it is not; how often a table's history is read for that."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from jobs.job import Job
from jobs.pipeline import encode, label
from jobs.pipeline.status import status
from ncs.config import Config
from ncs.days import Days
from ncs.errors import DataError
from ncs.lake import layout
from ncs.lake.commits import Commit, newest_by_key
from ncs.lake.currency import LakeNow, is_current, stale
from ncs.lake.layout import Lake, Record
from tests.jobs.conftest import DAYS, LAST, write_part

DAY = str(DAYS.first)
MADE = {"conf": "a", "inputs": {"bronze/clicks/2022-04-08": 3}}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Table -> how often its history has been read."""
    counts: Counter[str] = Counter()

    def counted(uri: str, version: int | None) -> dict[str, Commit]:
        counts[layout.table_name(uri)] += 1
        return newest_by_key(uri, version)

    monkeypatch.setattr(layout, "newest_by_key", counted)
    return counts


@pytest.mark.parametrize(
    ("wanted", "reasons"),
    [
        (MADE, []),
        ({**MADE, "conf": "b"}, ["configuration"]),
        ({**MADE, "inputs": {"bronze/clicks/2022-04-08": 4}}, ["bronze/clicks/2022-04-08 3 -> 4"]),
        ({**MADE, "inputs": {}}, ["bronze/clicks/2022-04-08 3 -> absent"]),
        ({**MADE, "test": True}, ["test"]),
        ({**MADE, "test": None}, ["provenance"]),
        (DataError("no such logs"), ["no such logs"]),
    ],
)
def test_a_partition_is_stale_for_what_has_changed(
    lake: Lake, wanted: dict[str, object] | DataError, reasons: list[str]
) -> None:
    write_part(lake, layout.SAMPLES, 1, Record("label", DAY, MADE))
    assert stale(lake, {layout.SAMPLES: {DAY: wanted}}) == ({DAY: reasons} if reasons else {})
    assert is_current(lake, layout.SAMPLES, DAYS.first, wanted) == (not reasons)


def test_a_partition_that_was_never_written_is_stale_and_one_beside_it_need_not_be_there(lake: Lake) -> None:
    write_part(lake, layout.SAMPLES, 1, Record("label", DAY, MADE))
    wanted = {layout.SAMPLES: {DAY: MADE, str(LAST): MADE}}
    assert stale(lake, wanted, beside=[layout.QUARANTINE]) == {str(LAST): ["not written yet"]}
    write_part(lake, layout.QUARANTINE, 2, Record("label", DAY, MADE))
    lake.table(layout.QUARANTINE).delete("n = 1")
    changed = stale(lake, wanted, beside=[layout.QUARANTINE])[DAY]
    assert changed == ["changed by another writer (DELETE, version 1)"]


def test_a_look_does_not_change_and_the_next_sees_what_was_written(lake: Lake) -> None:
    write_part(lake, layout.SAMPLES, 1, Record("label", DAY, MADE))
    now = LakeNow(lake.root)
    assert is_current(now, layout.SAMPLES, DAY, MADE)
    write_part(lake, layout.SAMPLES, 1, Record("label", DAY, {"conf": "b"}))
    assert is_current(now, layout.SAMPLES, DAY, MADE)
    assert not is_current(LakeNow(lake.root), layout.SAMPLES, DAY, MADE)


def test_a_tables_history_is_read_once_however_many_days(written: Job, reads: Counter[str]) -> None:
    status(replace(written, days=DAYS))
    assert len(reads) >= 10
    assert set(reads.values()) == {1}


@pytest.mark.parametrize(
    "find_stale", [lambda job: label._find_stale(job, ()), lambda job: encode._find_stale(job.now())]
)
def test_a_stage_reads_a_tables_history_once(
    written: Job, reads: Counter[str], find_stale: Callable[[Job], dict[object, object]]
) -> None:
    assert find_stale(written) == {}
    assert set(reads.values()) == {1}


LOOKING_BACK = (
    "history={clicked: {of: [video_id], days: 1}}",
    "statistics=[{by: [user_id], of: [clicked], days: 1}]",
    "split.test_days=1",
)


@pytest.fixture
def looking_back(written: Job, load_conf: Callable[..., Config]) -> Job:
    """The same lake where each day's inputs look back to the day before; all of it is current."""
    keys = (f"logs.source={written.conf.logs.source}", f"logs.days={DAYS}", *LOOKING_BACK)
    job = replace(written, conf=load_conf(*keys))
    write_encoded(job)
    return job


def write_encoded(job: Job) -> None:
    for day, source in encode.sums_provenance(job).items():
        write_part(job.lake, layout.DAILY_STATISTICS, 2, Record("encode", day, source))
    write_part(job.lake, layout.VOCABULARY, 5, Record("encode", "all", encode.vocabulary_provenance(job)))
    for table in ("gold/ctr_samples", "gold/cvr_samples"):
        for day, source in encode.provenance(job).items():
            write_part(job.lake, table, 3, Record("encode", str(day), source))


def test_an_encoded_day_names_the_days_that_it_looks_back_to(looking_back: Job) -> None:
    first, second, third = DAYS
    assert encode._find_stale(looking_back.now()) == {}
    inputs = {str(day): set(source["inputs"]) for day, source in encode.provenance(looking_back).items()}
    assert inputs[str(first)] == {layout.VOCABULARY, f"{layout.SAMPLES}/{first}"}
    assert inputs[str(third)] == {layout.VOCABULARY, f"{layout.SAMPLES}/{second}", f"{layout.SAMPLES}/{third}"}
    assert encode.sums_provenance(looking_back).keys() == {str(first), str(second)}, "the last day is nobody's past"


def test_a_changed_day_makes_those_stale_that_look_back_to_it(looking_back: Job) -> None:
    first, second, _ = DAYS
    write_part(looking_back.lake, layout.SAMPLES, 3, Record("label", str(first), {"conf": "labelled again"}))
    one_day = replace(looking_back, days=Days(first, first))
    assert encode._find_stale(one_day.now()).keys() == {first, second}
    sums = {layout.DAILY_STATISTICS: encode.sums_provenance(looking_back)}
    assert stale(looking_back.lake, sums).keys() == {str(first)}


def test_a_new_day_is_encoded_alone(looking_back: Job) -> None:
    new = LAST + timedelta(days=1)
    write_part(looking_back.lake, layout.SAMPLES, 3, Record("label", str(new), {"conf": "a"}))
    job = replace(looking_back, days=Days(DAYS.first, new))
    assert encode._find_stale(job.now()).keys() == {new}
    assert encode.vocabulary_provenance(job) == encode.vocabulary_provenance(looking_back)
    assert stale(job.lake, {layout.DAILY_STATISTICS: encode.sums_provenance(job)}).keys() == {str(LAST)}


def test_blocked_days_are_nobodys_past(looking_back: Job) -> None:
    first, second, _ = DAYS
    blocked = replace(looking_back, blocked={first: "bad"})
    assert f"{layout.SAMPLES}/{first}" not in encode.provenance(blocked)[second]["inputs"]
