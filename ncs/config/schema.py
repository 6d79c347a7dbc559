"""The configuration's keys and their types; what each means is said in `conf/base.yaml`, where its default stands."""

import hashlib
import json
import math
import pkgutil
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    field_validator,
    model_validator,
)

import ncs.systems
from ncs.days import Days
from ncs.errors import ConfigError

Side = Literal["user", "video", "context"]
DayRange = Annotated[Days, BeforeValidator(lambda v: Days.parse(v) if isinstance(v, str) else v), PlainSerializer(str)]
Share = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)


class Synthetic(_Section):
    """The generated world: how many take part and how the two tasks relate."""

    users: Count
    videos: Count
    conflict: Annotated[float, Field(ge=0, le=1)]
    dirty: Share


class Logs(_Section):
    """Which logs, of which days."""

    adapter: Literal["landing", "kuairand"]
    source: str | None
    days: DayRange
    timezone: str
    impressions: Annotated[int, Field(ge=1000)]
    seed: int
    synthetic: Synthetic

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except Exception as err:
            raise ValueError(f"no time zone is called {name!r}; write one like Asia/Shanghai") from err
        return name

    @model_validator(mode="after")
    def _source_of_adapter(self) -> "Logs":
        if self.adapter != "landing" and self.source is None:
            raise ValueError(f"logs.source must name the folder that adapter {self.adapter!r} reads")
        return self


class Labels(_Section):
    """How events become labels."""

    window_hours: Positive

    @property
    def days_after(self) -> int:
        """How many following days an attribution window can reach into."""
        return math.ceil(self.window_hours / 24)


class Split(_Section):
    """Which rows train, which choose, which test."""

    test_days: Annotated[int, Field(ge=0)]
    validation: Share


class FeatureField(_Section):
    """One feature: a column of the samples and how its values become ids."""

    side: Side
    encode: Literal["vocabulary", "buckets"]
    min_count: Count = 1
    buckets: Annotated[int, Field(ge=2, le=1000)] = 16


class Encode(_Section):
    """How encoded samples are laid out in files."""

    seed: int
    rows_per_file: Annotated[int, Field(ge=64)]


Band = Annotated[list[float], Field(min_length=2, max_length=2)]


class Gates(_Section):
    """Bands of the validation suites."""

    click_rate: Band
    mean_cvr: Band
    max_quarantined: Annotated[float, Field(ge=0, le=1)]
    max_unlabelled: Annotated[float, Field(ge=0, le=1)]

    @field_validator("click_rate", "mean_cvr")
    @classmethod
    def _ordered(cls, band: list[float]) -> list[float]:
        if not 0 <= band[0] < band[1] <= 1:
            raise ValueError(f"a band runs from low to high within [0, 1], not {band}")
        return band


class Net(_Section):
    """Sizes of the base network."""

    embedding: Count
    hidden: Annotated[list[Count], Field(min_length=1)]
    crosses: Literal["user*video"] | list[Annotated[list[str], Field(min_length=2, max_length=2)]]
    mask_output: bool


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Train(_Section):
    """What is trained, and how long."""

    system: Annotated[list[str], BeforeValidator(_as_list), Field(min_length=1)]
    epochs: Count
    patience: Count
    batch_size: Count
    learning_rate: Positive
    embedding_learning_rate: Positive
    weight_decay: Annotated[float, Field(ge=0)]
    cvr_loss_weight: Positive
    seed: int
    threads: Count | None

    @field_validator("system")
    @classmethod
    def _known_systems(cls, names: list[str]) -> list[str]:
        known = [module.name for module in pkgutil.iter_modules(ncs.systems.__path__)]
        for name in names:
            if name not in known:
                raise ValueError(f"no system is called {name!r}; there are {', '.join(known)}")
        return names


class Prune(_Section):
    """The mask search."""

    score: Literal["magnitude", "movement"]
    rate: Rate
    rounds: Annotated[int, Field(ge=0)]
    scope: Literal["global", "layer"]
    theta_epochs: Positive


class Feed(_Section):
    """How rows come from Delta files to the net."""

    memory_rows: Annotated[int, Field(ge=0)]
    buffer_rows: Count


class Config(_Section):
    """The whole configuration of a lake and its runs."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    logs: Logs
    labels: Labels
    split: Split
    fields: Annotated[dict[Identifier, FeatureField], Field(min_length=1)]
    encode: Encode
    gates: Gates
    net: Net
    train: Train
    prune: Prune
    feed: Feed
    days_at_once: Count
    workers: Count
    spark: dict[Annotated[str, Field(pattern=r"^spark\.")], str | int | float | bool]

    @model_validator(mode="after")
    def _whole(self) -> "Config":
        if self.split.test_days >= len(self.logs.days):
            raise ValueError(f"split.test_days leaves no day of {self.logs.days} for training")
        for pair in self.crosses:
            for name in pair:
                if name not in self.fields:
                    raise ValueError(f"net.crosses names {name!r}, which is not among fields")
        return self

    @property
    def train_days(self) -> Days:
        """The days that vocabulary, masks and weights are learnt from."""
        return self.logs.days.split(self.split.test_days)[0]

    @property
    def test_days(self) -> Days:
        """The days that systems are compared on."""
        if not self.split.test_days:
            raise ConfigError("split.test_days is 0: no day is left to compare on")
        return self.logs.days.split(self.split.test_days)[1]

    @property
    def crosses(self) -> list[tuple[str, str]]:
        """The pairs of fields whose embeddings are multiplied."""
        if isinstance(self.net.crosses, list):
            return [(left, right) for left, right in self.net.crosses]
        users = [name for name, field in self.fields.items() if field.side == "user"]
        videos = [name for name, field in self.fields.items() if field.side == "video"]
        return [(left, right) for left in users for right in videos]

    def part(self, *keys: str) -> dict[str, Any]:
        """The named keys (`a` or `a.b`) as plain values, to store or to take a digest of."""
        whole = self.model_dump()
        return {key: _reach(whole, key) for key in keys}

    def digest(self, *keys: str) -> str:
        """A short hash of the named keys, or of everything."""
        return digest(self.part(*keys) if keys else self.model_dump())


def digest(value: Any) -> str:
    """Twelve hexadecimal digits that change when `value`, plain data, does."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _reach(values: Any, key: str) -> Any:
    for name in key.split("."):
        values = values[name]
    return values
