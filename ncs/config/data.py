"""The logs, how events become labels, the split, the features and their encoding."""

from typing import Annotated, Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from ncs.days import Days
from ncs.encodings import UTF8, canonical
from ncs.values import LARGEST, Day, DayRange, Few, Identifier, Many, Part, Place, Rate, Section, Seed

_NO_ZONES = ("localtime", "posixrules", "Factory")
"""Files of the machine beside those of the time zones; another machine, and Java, has others or none."""
_Names = Annotated[
    tuple[Identifier, ...], BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
]
Pairs = Annotated[int, Field(ge=0, le=50)]
"""Of context columns of a planted world."""


class Interactions(Section):
    """Pairs of context columns that a planted world consists of (`ncs.logs.interactions`)."""

    common: Pairs
    conflicting: Pairs
    own: Pairs
    values: Annotated[int, Field(ge=2, le=100)]

    @model_validator(mode="after")
    def _acts_on_both(self) -> "Interactions":
        if not self.common + self.conflicting + self.own:
            raise ValueError("name a pair at least: common, conflicting or own")
        return self


class Synthetic(Section):
    """The generated world: how many take part and how the two tasks relate."""

    users: Many
    videos: Many
    click_rate: Rate
    conflict: Annotated[float, Field(ge=0, le=1)]
    dirty: Part
    interactions: Interactions | None = None

    @model_serializer(mode="wrap")
    def _as_before(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without a planted world as configurations were before there were any: lakes are known by their logs' keys."""
        return {key: value for key, value in plain(self).items() if (key, value) != ("interactions", None)}


class Logs(Section):
    """The logs, and their days."""

    adapter: Literal["landing", "kuairand"]
    source: Place | None
    days: DayRange
    timezone: str
    folder_day: Literal["event", "delivery"]
    encoding: str = UTF8
    text_ids: _Names = ()
    impressions: Annotated[int, Field(ge=1000, le=1_000_000_000)]
    seed: Seed
    synthetic: Synthetic

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, name: str) -> str:
        return canonical(name)

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
            if name in _NO_ZONES or name.startswith(("posix/", "right/")):
                raise KeyError(name)
        except Exception as err:
            raise ValueError(f"no time zone is called {name!r}; write one like Asia/Shanghai") from err
        return name

    @model_validator(mode="after")
    def _source_of_adapter(self) -> "Logs":
        if self.adapter != "landing" and self.source is None:
            raise ValueError(f"logs.source must name the folder that adapter {self.adapter!r} reads")
        if self.days.is_open and (self.adapter != "landing" or self.source is None):
            raise ValueError(f"logs.days: {self.days} has no end, which goes with folders of days in logs.source alone")
        if self.text_ids and (self.adapter != "landing" or self.source is None):
            raise ValueError("logs.text_ids goes with folders of days in logs.source alone; leave it out")
        return self

    @model_serializer(mode="wrap")
    def _as_before(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without text ids as configurations were before there were any: generated logs are known by their keys."""
        texts = {"text_ids": list(self.text_ids)} if self.text_ids else {}
        return {key: value for key, value in plain(self).items() if key != "text_ids"} | texts


class Labels(Section):
    """How events become labels."""

    window_hours: Annotated[float, Field(gt=0, le=366 * 24)]
    late_days: Annotated[int, Field(ge=0, le=366)]


class Split(Section):
    """Which rows train, which are validation rows, which test."""

    test_days: Annotated[int, Field(ge=0, le=LARGEST)]
    validation: Part | Annotated[str, Field(pattern=r"^(last_day|[1-9]\d{0,3} (days?|hours?))$")]

    @property
    def share(self) -> float:
        """The share of the training days' impressions that are validation rows by a hash of their id."""
        return 0.0 if isinstance(self.validation, str) else self.validation

    @property
    def days(self) -> int:
        """The number of last training days that are validation days."""
        return self._last("day")

    @property
    def hours(self) -> int:
        """The number of hours at the end of the last training day that are for validation."""
        return self._last("hour")

    def _last(self, unit: str) -> int:
        if self.validation == "last_day":
            return int(unit == "day")
        count, _, of = str(self.validation).partition(" ")
        return int(count) if of.startswith(unit) else 0


class Selection(NamedTuple):
    """Rows of the sample tables: those of some days whose column `split` has one value, or any (None)."""

    days: Days
    split: str | None = None


Role = Literal["train", "validation", "refit", "test"]
"""What rows are for; refit: training and validation rows together."""


class Window(Section):
    """How many of the last days train and test models, where the configuration does not say which."""

    train: Few | None
    test: Annotated[int, Field(ge=0, le=LARGEST)]
    exclude: list[Day]
    max_gap: Annotated[int, Field(ge=0, le=366)]
    final: bool
    forget_days: Few | None
    days: DayRange | None
    """Those that were found; null in a file."""


class Encode(Section):
    """How encoded samples are laid out in files."""

    seed: Seed
    rows_per_file: Annotated[int, Field(ge=64, le=LARGEST)]
