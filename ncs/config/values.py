"""What the sections of the configuration are made of: their base, the types of their values, digests."""

import hashlib
import json
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from ncs.days import Days
from ncs.errors import ConfigError

DayRange = Annotated[Days, BeforeValidator(lambda v: Days.parse(v) if isinstance(v, str) else v), PlainSerializer(str)]
Part = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
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
