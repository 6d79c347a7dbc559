"""The base of the configuration's sections, the types of their values, digests."""

import hashlib
import json
import re
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from ncs.days import Days
from ncs.errors import ConfigError

REDACTED = "*(redacted)*"
LARGEST = 2**31 - 1
LARGEST_SEED = 2**32 - 1
"""Of a count, which Spark and Arrow keep in 32 bits; of a seed, which numpy and torch both take."""

_SECRET = r"secret|passw(?:or)?d|passphrase|pwd|token|credential|(?:access|account|api|private|shared)[._-]?key"
SECRET = re.compile(rf"{_SECRET}|sas|signature", re.IGNORECASE)
"""Names of settings whose value nobody else may know, and what in a value says that it holds such a setting."""
_SECRET_PARTS = (
    # user:password@ of a URI
    re.compile(r"(?P<kept>://[^\s/@:]*:)[^\s'\"]*(?=@)"),
    # name=value of a query, of a -D option, of a setting; an Authorization header's
    re.compile(
        rf"(?P<kept>(?:{_SECRET}|signature|(?<![A-Za-z])(?:sig|sas))[\w.\-]{{0,100}}[\"']?\s*[=:]\s*)"
        r"(?:\"[^\"]*\"?|'[^']*'?|[^\s&;,\"'}})\]]+)",
        re.IGNORECASE,
    ),
    re.compile(r"(?P<kept>\bBearer\s+)[\w.~+/=-]+", re.IGNORECASE),
)
CREDENTIALS = re.compile(
    rf"://[^/@]*:[^/@]*@|[?&;][^=&;]*(?:{_SECRET}|signature|(?<![A-Za-z])(?:sig|sas)(?![A-Za-z]))[^=&;]*=",
    re.IGNORECASE,
)
"""In a URI, a user's password, or a token in its query."""


def redact(text: str) -> str:
    """A text without the passwords and tokens that stand in it: in URIs, queries, options, settings."""
    for part in _SECRET_PARTS:
        text = part.sub(rf"\g<kept>{REDACTED}", text)
    return text


def redacted(value: Any, secret: bool = False) -> Any:
    """Plain data without secrets: a text or number below a key that names one, and what `redact` takes out of texts."""
    if isinstance(value, dict):
        return {key: redacted(inner, bool(SECRET.search(str(key)))) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(inner, secret) for inner in value]
    if isinstance(value, str):
        return REDACTED if secret else redact(value)
    return value


def _days(value: Any) -> Any:
    try:
        return value if isinstance(value, Days) else Days.parse(value)
    except ConfigError as err:
        raise ValueError(str(err)) from None


def _day(value: Any) -> Any:
    days = _days(value)
    if len(days) != 1:
        raise ValueError(f"write one day as 2022-04-08, not {days}")
    return days.first


def _without_credentials(place: str) -> str:
    if CREDENTIALS.search(place):
        raise ValueError("credentials do not belong into a URI; give them to the store's client (environment)")
    return place


DayRange = Annotated[Days, BeforeValidator(_days), PlainSerializer(str)]
Day = Annotated[
    date, BeforeValidator(lambda value: value if isinstance(value, date) else _day(value)), PlainSerializer(str)
]
Part = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1, le=LARGEST)]
Many = Annotated[int, Field(ge=1, le=100_000_000)]
"""Of what is kept in memory for each: users, visits, resamples."""
Few = Annotated[int, Field(ge=1, le=10_000)]
"""Of what is begun one after another, or all at once: epochs, seeds, tries, workers."""
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
Place = Annotated[str, Field(min_length=1), AfterValidator(_without_credentials)]
"""A path or a URI."""
SESSION = {
    # What a time without a zone is: all logs and tables have it in UTC.
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_LTZ",
    # What cannot be read or computed is an error, never left out or null.
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
    "spark.sql.ansi.enabled": "true",
    # A table that is replaced whole keeps no partition of before.
    "spark.sql.sources.partitionOverwriteMode": "static",
    # A commit without rows says that there are none: of a day without clicks, of no users.
    "spark.databricks.delta.skipRecordingEmptyCommits": "false",
    "spark.sql.caseSensitive": "false",
}
"""Settings of Spark that decide what rows there are and what they say: they are the same in every session."""
EXTENSIONS = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
"""What Delta needs of a session; further extensions may stand beside it."""
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]


class Section(BaseModel):
    """A part of the configuration: no unknown keys, no other types, never changed."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        arbitrary_types_allowed=True,
        allow_inf_nan=False,
    )


def digest(value: Any) -> str:
    """Twelve hexadecimal digits that change when `value`, plain data, does."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def set_key(values: dict[str, Any], key: str, value: Any) -> None:
    """Set `a.b.c` in nested mappings. Raises ConfigError where a key above it is a value."""
    head, *rest = key.split(".")
    if head == "spark":  # the names of Spark's settings hold dots of their own
        rest = ["spark." + ".".join(rest).removeprefix("spark.")]
    for name in rest:
        inner = values.setdefault(head, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {key}: {head} is a value, it has no keys below it")
        values, head = inner, name
    values[head] = value


def _path(location: tuple[int | str, ...]) -> Iterator[int | str]:
    """The keys above a value. Pydantic names the types that it tried too: of `fields.<name>`, the kind of feature."""
    for n, part in enumerate(location):
        if not str(part).startswith(("list[", "literal[")) and not (n == 2 and location[0] == "fields"):
            yield part


def problems(err: ValidationError) -> Iterator[str]:
    """The problems of a configuration, one line per key, with the key's path."""
    for error in err.errors():
        where = ".".join(str(part) for part in _path(error["loc"]))
        if error["type"] == "extra_forbidden":
            yield f"{where or repr(where)} is no key of the configuration"
        elif error["type"] == "missing":
            yield f"{where} is missing"
        else:
            hidden = SECRET.search(where)
            unknown = hidden or (error["type"] == "value_error" and not where)
            value = "" if unknown else f" (found {error['input']!r})"
            message = error["msg"].removeprefix("Value error, ")
            yield redact(f"{where}: {message}{value if len(value) < 80 else ''}".removeprefix(": "))
