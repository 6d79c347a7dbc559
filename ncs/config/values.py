"""What the sections of the configuration are made of: their base, the types of their values, digests."""

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from ncs.days import Days
from ncs.errors import ConfigError

DayRange = Annotated[Days, BeforeValidator(lambda v: Days.parse(v) if isinstance(v, str) else v), PlainSerializer(str)]
Part = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
SECRET = re.compile(r"secret|password|token|credential|access[._-]?key|account[._-]?key|sas", re.IGNORECASE)
"""Settings of Spark whose value nobody else may know; Spark itself hides some of them so."""
WITH_PASSWORD = re.compile(r"://[^/@]*:[^/]*@")
"""A URI with a user's password."""
SESSION = {"spark.sql.session.timeZone": "UTC", "spark.sql.timestampType": "TIMESTAMP_LTZ"}
"""Settings of Spark that decide what a time without a zone is; all logs and tables have it in UTC."""
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Section(BaseModel):
    """A part of the configuration: no unknown keys, no other types, never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)


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


def problems(err: ValidationError) -> Iterator[str]:
    """What is wrong, a line a key, with the key's path."""
    for error in err.errors():
        where = ".".join(str(part) for part in error["loc"] if not str(part).startswith(("list[", "literal[")))
        if error["type"] == "extra_forbidden":
            yield f"{where} is no key of the configuration"
        elif error["type"] == "missing":
            yield f"{where} is missing"
        else:
            hidden = SECRET.search(where) or WITH_PASSWORD.search(str(error["input"]))
            unknown = hidden or (error["type"] == "value_error" and not where)
            found = "" if unknown else f" (found {error['input']!r})"
            message = error["msg"].removeprefix("Value error, ")
            yield f"{where}: {message}{found if len(found) < 80 else ''}".removeprefix(": ")
