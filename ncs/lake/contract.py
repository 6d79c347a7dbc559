"""What a table promises whoever reads or writes it: NOT NULL and CHECK constraints, comments, properties.

Delta holds every writer to them, ours or another. They are set when the table is created, in one commit made without
Spark; a table from before a contract changed is brought up to it by `ncs migrate` (`ncs.lake.migrations`).
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deltalake import DeltaTable, Field, Schema
from deltalake.exceptions import DeltaError, TableNotFoundError

from ncs.errors import DataError
from ncs.lake import layout

SCHEMA_VERSION = 1
"""The version of the contracts below; `ncs.lake.migrations` says how a table comes to each."""

VERSION_PROPERTY = "ncs.schemaVersion"
PROPERTIES = {
    VERSION_PROPERTY: str(SCHEMA_VERSION),
    "delta.enableChangeDataFeed": "true",
    # A commit says what its rows were made from. Delta's default of 30 days would forget that, and the versions that
    # models are pinned to; a commit of a day is a few kB.
    "delta.logRetentionDuration": "interval 3650 days",
}


@dataclass(frozen=True)
class Contract:
    """One table's: a comment, comments of columns, columns that are never null, named SQL conditions of every row."""

    comment: str
    columns: Mapping[str, str] = field(default_factory=dict)
    required: Sequence[str] = ()
    checks: Mapping[str, str] = field(default_factory=dict)


_IMPRESSION = {
    "impression_id": "one showing of one video to one user",
    "user_id": "who saw it",
    "video_id": "what was shown",
    "ts": "when it was shown, UTC",
}
_EVENT = {"impression_id": "the impression that it belongs to", "ts": "when it happened, UTC"}
_DAY = {"day": "day of the log's folder, in the configured time zone"}
_LABELS = {
    "length_seconds": "length of the video; null: unknown",
    "clicked": "1: clicked within the attribution window, else 0",
    "watched_seconds": "play segments within the attribution window, added up",
    "cvr": "watched / length, at most 1; null where not clicked or without a length",
}
_RUN = {"run_id": "the training run, a folder of models/", "system": "an entry of the catalogue `systems`"}

_CONTRACTS = {
    layout.IMPRESSIONS: Contract("impressions as they were logged", {**_IMPRESSION, **_DAY}, ["day"]),
    layout.CLICKS: Contract("clicks as they were logged", {**_EVENT, **_DAY}, ["day"]),
    layout.PLAYS: Contract(
        "play segments as they were logged", {**_EVENT, "watched_seconds": "length of the segment", **_DAY}, ["day"]
    ),
    layout.USERS: Contract("users, the latest row of each", {"user_id": "key"}),
    layout.VIDEOS: Contract(
        "videos, the latest row of each", {"video_id": "key", "length_seconds": _LABELS["length_seconds"]}
    ),
    layout.SAMPLES: Contract(
        "one row an impression, labelled",
        {**_IMPRESSION, **_DAY, **_LABELS},
        [*_IMPRESSION, "day", "clicked", "watched_seconds"],
        {
            "clicked_is_0_or_1": "clicked IN (0, 1)",
            "watched_is_finite": f"watched_seconds BETWEEN 0 AND {sys.float_info.max}",
            "cvr_is_a_share": "cvr IS NULL OR cvr BETWEEN 0 AND 1",
            "cvr_only_of_clicks": "cvr IS NULL OR clicked = 1",
        },
    ),
    layout.QUARANTINE: Contract(
        "raw rows that were set aside",
        {
            "log": "impressions, clicks or plays",
            **_DAY,
            "reason": "why, see ncs/samples/labels.py",
            "impression_id": "its impression, if it names one",
            "row": "the raw row as JSON",
        },
        ["log", "day", "reason", "row"],
        {"log_is_known": "log IN ('impressions', 'clicks', 'plays')"},
    ),
    layout.VOCABULARY: Contract(
        "what the ids of gold's sample tables mean",
        {
            "field": "a key of `fields`",
            "value": "the value, or the lower edge of the bucket",
            "id": "from 1; 0 is unknown, rare or missing",
            "count": "rows of the training days",
        },
        ["field", "value", "id", "count"],
        {"id_is_known": "id >= 1", "count_is_positive": "count >= 1"},
    ),
    layout.PREDICTIONS: Contract(
        "what the systems of runs predict for the test days",
        {**_RUN, **_IMPRESSION, **_DAY},
        ["run_id", "system", "impression_id", "day"],
        {f"{name}_is_a_probability": f"{name} IS NULL OR {name} BETWEEN 0 AND 1" for name in ("pctr", "pcvr")},
    ),
    layout.EVALUATIONS: Contract(
        "figures of the systems of runs, with 95 % intervals",
        {**_RUN, "n": "rows that the figure is of", "gain": "relative, against the baseline"},
        ["run_id", "system", "task", "metric", "value"],
    ),
}
TABLES = tuple(_CONTRACTS)
"""The tables that have a contract, the tasks' sample tables aside."""

_ENCODED = Contract(
    "samples as ids, ready to train on; labels are NaN where a task does not apply",
    {
        "impression_id": _IMPRESSION["impression_id"],
        **_DAY,
        "split": "train, validation or test",
        "day_number": "days since 1970-01-01: Petastorm drops partition values",
    },
    ["impression_id", "day", "split", "day_number"],
    {"split_is_known": "split IN ('train', 'validation', 'test')"},
)


def contract_of(table: str, labels: Sequence[str] = ()) -> Contract:
    """The contract of a table of the lake; `labels` are the label columns, where it is a task's sample table."""
    if table.startswith("gold/") and table.endswith("_samples"):
        shares = {f"{label}_is_a_share": f"isnan({label}) OR {label} BETWEEN 0 AND 1" for label in labels}
        return Contract(_ENCODED.comment, _ENCODED.columns, _ENCODED.required, {**_ENCODED.checks, **shares})
    return _CONTRACTS.get(table, Contract(""))


def ensure(uri: str, schema: Schema, partition: Sequence[str]) -> None:
    """Create the table under its contract, if it is not there; else refuse one made under another version.

    Args:
        uri: where it stands, `<lake>/<layer>/<name>`.
        schema: its columns; further ones may join later.
        partition: the columns that part its files.

    Raises:
        DataError: the table is of an older or a newer version of the contracts.
    """
    try:
        table = DeltaTable(uri)
    except TableNotFoundError:
        _create(uri, schema, partition)
        return
    found = version_of(table)
    if found != SCHEMA_VERSION:
        remedy = "run `ncs migrate`" if found < SCHEMA_VERSION else "use the ncs that wrote it, or a newer one"
        raise DataError(f"{uri} is of schema version {found}, this ncs writes {SCHEMA_VERSION}; {remedy}")


def version_of(table: DeltaTable) -> int:
    """The version of the contracts that a table was made under; 0: before there were any."""
    return int(table.metadata().configuration.get(VERSION_PROPERTY, "0"))


def labels_of(schema: Schema) -> list[str]:
    """The label columns of a task's sample table: its only floats."""
    return [column.name for column in schema.fields if getattr(column.type, "type", "") == "float"]


def _create(uri: str, schema: Schema, partition: Sequence[str]) -> None:
    name = layout.name_of(uri)
    contract = contract_of(name, labels_of(schema))
    columns = [
        Field(
            column.name,
            column.type,
            nullable=column.name not in contract.required,
            metadata={"comment": contract.columns[column.name]} if column.name in contract.columns else None,
        )
        for column in schema.fields
    ]
    checks = {f"delta.constraints.{check}": condition for check, condition in contract.checks.items()}
    try:
        DeltaTable.create(
            uri,
            Schema(columns),
            mode="ignore",
            partition_by=list(partition),
            name=name,
            description=contract.comment,
            configuration={**PROPERTIES, **checks},
            raise_if_key_not_exists=False,  # our own property is none of Delta's
        )
    except DeltaError:
        if not DeltaTable.is_deltatable(uri):  # another process was first
            raise
