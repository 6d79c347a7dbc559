"""The page of data quality, from verdicts that are kept. Without Spark."""

from dataclasses import asdict
from pathlib import Path

from ncs.lake import layout, storage
from ncs.lake.layout import Lake
from tests.factories import toy_conf
from validation import quality_page, verdicts
from validation.verdicts import Finding, Verdict


def test_each_failure_shows_its_own_rows(lake: Lake) -> None:
    """Rules of several columns may be called the same."""
    failed = [
        Finding(name, "holds", "1 of 2 rows", "e", ["2022-04-08"], examples=[f'{{"{name}": "bad {name}"}}'])
        for name in ("user_id", "video_id")
    ]
    verdict = Verdict(layout.SAMPLES, 0, "2022-04-08", "x", False, failed)
    storage.write_json(verdicts.uri(lake, layout.SAMPLES), asdict(verdict))
    verdicts.keep(lake, [verdict], "run")
    quality_page.write(lake, toy_conf())
    page = Path(quality_page.uri(lake)).read_text()
    first, second = page.split('id="days"')[0].split("<details>")[1:]
    assert "<code>bad user_id</code>" in first
    assert "<code>bad video_id</code>" in second
    quality_page.forget(lake)
    assert not storage.exists(quality_page.uri(lake))
    assert verdicts.stored(lake, layout.SAMPLES) is None
