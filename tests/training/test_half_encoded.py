"""Samples of two encodings, as a killed `ncs encode` leaves them, are not trained on."""

import pyarrow as pa
import pytest
from deltalake import CommitProperties, write_deltalake

from ncs.errors import DataError
from ncs.lake import layout
from ncs.lake.layout import ALL, Lake, Record, user_metadata
from ncs.runs.run import Run
from tests.factories import toy_conf, write_toy_lake

CONF = toy_conf()
TABLES = ("gold/ctr_samples", "gold/cvr_samples")


def encoded(lake: Lake, table: str, key: str, vocabulary: int) -> None:
    """A commit that says by which version of the vocabulary a day was encoded."""
    record = Record("encode", key, {"inputs": {layout.VOCABULARY: vocabulary}} if key != ALL else {})
    metadata = CommitProperties(custom_metadata={"userMetadata": user_metadata([record])})
    rows = pa.schema(lake.table(table).schema()).empty_table()
    write_deltalake(lake.uri(table), rows, mode="append", commit_properties=metadata)


def test_killed_between_vocabulary_and_samples_or_between_tasks(lake: Lake) -> None:
    write_toy_lake(lake, CONF, rows=300)
    for table in TABLES:
        for day in CONF.logs.days:
            encoded(lake, table, str(day), vocabulary=0)
    Run.of(CONF, lake)
    encoded(lake, layout.VOCABULARY, ALL, vocabulary=0)  # learnt again: version 1
    refusal = rf"{CONF.logs.days.first} in .* is not of one encoding.* run it again"
    with pytest.raises(DataError, match=refusal):
        Run.of(CONF, lake)
    for day in CONF.logs.days:
        encoded(lake, TABLES[0], str(day), vocabulary=1)
    with pytest.raises(DataError, match=refusal):
        Run.of(CONF, lake)
    for day in CONF.logs.days:
        encoded(lake, TABLES[1], str(day), vocabulary=1)
    Run.of(CONF, lake)
