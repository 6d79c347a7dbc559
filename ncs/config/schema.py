"""The configuration's keys and their types; what each means is said in `conf/base.yaml`, where its default stands."""

from collections.abc import Mapping
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from ncs.config.checks import check_features, check_references, check_size, check_split, check_tasks
from ncs.config.data import Encode, Labels, Logs, Role, Selection, Split, Window
from ncs.config.gates import Gates
from ncs.config.learning import MODULES, WITH_TREES, Compare, Net, Prune, Share, TaskLabel, Train, Variant
from ncs.config.running import Daily, DataLoading, Launch, Maintain, OffPolicy, Privacy, Promote, Simulate, Track, Views
from ncs.days import Days
from ncs.errors import ConfigError
from ncs.kinds import Feature, FeatureField, History, IdSlot, Layout, Statistics, all_features
from ncs.values import (
    EXTENSIONS,
    SECRET,
    SESSION,
    Few,
    Identifier,
    Section,
    digest,
    problems,
    redact,
    redacted,
    set_key,
)

_SQL = ("tasks", "models", "compare")
"""The sections with expressions, which hold no secret, but may compare a column called token with a value."""


def _rising(edges: list[int | float]) -> list[int | float]:
    if any(low >= high for low, high in pairwise(edges)):
        raise ValueError(f"edges rise from one to the next, not {edges}")
    return edges


Edges = Annotated[list[int | float], Field(min_length=1), AfterValidator(_rising)]


def _usable(settings: dict[str, Any]) -> dict[str, Any]:
    for name, value in SESSION.items():
        if str(settings.get(name, value)).lower() != value.lower():
            zone = "; logs.timezone names the zone whose midnight parts the days" if name.endswith("timeZone") else ""
            raise ValueError(
                f"{name}: what tables hold depends on it, so it is always {value}, not {settings[name]!r}; leave it "
                f"out{zone}"
            )
    for name, value in EXTENSIONS.items():
        if value not in str(settings.get(name, value)).split(","):
            raise ValueError(f"{name}: tables need Delta's {value}; name it too, or leave the key out")
    return settings


class Config(Section):
    """The whole configuration of a lake and its runs."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=128)]
    logs: Logs
    labels: Labels
    split: Split
    window: Window
    fields: Annotated[dict[Identifier, FeatureField], Field(min_length=1)]
    statistics: list[Statistics]
    history: dict[Identifier, History]
    encode: Encode
    vocabulary: Literal["stable", "rebuild"] | None
    gates: Gates
    tasks: dict[Identifier, TaskLabel]
    net: Net
    train: Train
    prune: Prune
    share: Share
    models: dict[Identifier, Variant]
    compare: Compare
    daily: Daily
    promote: Promote
    slices: dict[Identifier, Edges | None]
    calibration: Literal["isotonic"] | None
    views: Views
    simulate: Simulate
    offpolicy: OffPolicy
    data_loading: DataLoading
    maintain: Maintain
    track: Track
    privacy: Privacy
    days_at_once: Few
    workers: Few
    launch: Launch
    spark: Annotated[
        dict[Annotated[str, Field(pattern=r"^spark\.")], str | int | float | bool], AfterValidator(_usable)
    ]

    @model_validator(mode="after")
    def _whole(self) -> "Config":
        check_split(self)
        if self.privacy.key is not None and self.logs.source is None:
            raise ValueError("privacy.key: generated users are nobody; name real logs in logs.source, or leave it null")
        check_references(self)
        slots = sum(self.launch.slots.values())
        if slots and self.workers > slots:
            raise ValueError(f"launch.hosts has {slots} slots for {self.workers} workers")
        for pair in self.crosses:
            for name in pair:
                if name not in self.features:
                    raise ValueError(f"net.crosses names {name!r}, which is not among fields")
                if name not in self.layout.vectors:
                    raise ValueError(f"net.crosses names {name!r}, a number, which has no embedding to multiply")
        for task in ("ctr", "cvr"):
            if task not in self.tasks:
                raise ValueError(f"tasks.{task} is missing; other tasks may join these two")
        if self.share.masks not in ("own", "swapped", "random", "disjoint", "none", *self.tasks):
            raise ValueError(f"share.masks: own, swapped, random, disjoint, none or a task, not {self.share.masks!r}")
        if self.prune.at_once and self.train.embeddings == "sharded":
            raise ValueError("prune.at_once: parts of the workers lack rows; it goes with train.embeddings=replicated")
        if self.prune.at_once and self.prune.overlap_price:
            raise ValueError(
                "prune.overlap_price: a search needs the masks of the tasks before it; set at_once to false"
            )
        for key, tasks in (("prune.rates", list(self.prune.rates)), ("promote.better", self.promote.better)):
            for task in tasks:
                if task not in self.tasks:
                    raise ValueError(f"{key} names {task!r}, which is not among tasks")
        check_tasks(self)
        check_features(self)
        check_size(self)
        compared = [name for name in self.compare.models if name != "all"]
        daily = [self.daily.model] if self.daily.model else []
        for key, names in (("train.models", self.train.models), ("compare.models", compared), ("daily.model", daily)):
            for name in names:
                if name not in self.models:
                    raise ValueError(f"{key}: no model is called {name!r}; there are {', '.join(self.models)}")
        for name, variant in self.models.items():
            if variant.module is None and name not in MODULES:
                raise ValueError(f"models.{name}.module is missing; there are {', '.join(MODULES)}")
        return self

    def with_keys(self, overrides: Mapping[str, Any]) -> "Config":
        """The same configuration with some keys (`a.b`) set otherwise. Raises ConfigError where they cannot be."""
        values = self.model_dump()
        for key, value in overrides.items():
            set_key(values, key, value)
        try:
            return Config.model_validate(values)
        except ValidationError as err:
            raise ConfigError("; ".join(problems(err))) from None

    def for_model(self, name: str) -> "Config":
        """The configuration that a model of the catalogue is trained with: its own keys in the place of these."""
        variant = self.models[name]
        alone = {
            "models": {name: {"module": variant.module or name}},
            "train.models": [name],
            "compare.models": [name],
            "daily.model": None,
        }
        return self.with_keys({**variant.set, **alone})

    def has_trees(self, name: str) -> bool:
        """Whether a model of the catalogue has trees, so that each training begins from nothing."""
        return (self.models[name].module or name) in WITH_TREES

    @property
    def learning_days(self) -> Days:
        """The days that models are trained and compared on, those of `window.exclude` left out.

        Raises ConfigError while a window has no place (`ncs.lake.windows`).
        """
        if self.window.train is None:
            excluded = [day for day in self.window.exclude if day in self.logs.days]
            return Days.of(day for day in self.logs.days if day not in excluded) if excluded else self.logs.days
        if self.window.days is None:
            raise ConfigError(
                f"window: there are no {self.least_days} labelled days yet to train, validate and test on; label them"
            )
        return self.window.days

    @property
    def has_learning_days(self) -> bool:
        """Whether they are known: a window is placed once there are labelled days."""
        return self.window.train is None or self.window.days is not None

    @property
    def grows_vocabulary(self) -> bool:
        """Whether values keep their ids when the training days change: by default where a window rolls."""
        return self.vocabulary == "stable" or (self.vocabulary is None and self.window.train is not None)

    @property
    def growing_fields(self) -> list[str]:
        """The fields of which each value has an id of its own."""
        return [name for name, field in self.fields.items() if field.encode in ("vocabulary", "list")]

    @property
    def least_days(self) -> int:
        """The least number of learning days: one to train on, those of validation and of the test."""
        return 1 + self.split.days + self.test_length

    @property
    def test_length(self) -> int:
        """The number of last learning days that are test days."""
        return self.split.test_days if self.window.train is None else self.window.test

    @property
    def train_days(self) -> Days:
        """The days that vocabulary, masks and weights are learnt from."""
        last = self.test_length
        return self.learning_days.split(last)[0] if last else self.learning_days

    @property
    def test_days(self) -> Days:
        """The days that models are compared on."""
        if not self.test_length:
            raise ConfigError("split.test_days or window.test is 0: no day is left to compare on")
        return self.learning_days.split(self.test_length)[1]

    @property
    def comparison_seeds(self) -> int:
        """How many training seeds models are compared over; a world is asked for small differences."""
        return self.compare.seeds or (20 if self.logs.source is None else 5)

    def select(self, role: Role) -> Selection:
        """The rows of the sample tables that are for a purpose. Raises ConfigError if no day is left to train on."""
        if role == "test":
            return Selection(self.test_days)
        if role == "refit":
            return Selection(self.train_days)
        whole_day = self.split.hours >= 24  # the last training day, however many hours are asked for
        if self.split.days >= len(self.train_days) or (whole_day and len(self.train_days) == 1):
            raise ConfigError(
                f"split.validation: {self.split.validation} leaves none of {self.train_days} to train on; name more "
                f"days in logs.days, or a share of the impressions as 0.1"
            )
        if not self.split.days:
            return Selection(self.train_days, role)
        train, validation = self.train_days.split(self.split.days)
        return Selection(train if role == "train" else validation)

    @cached_property
    def features(self) -> dict[str, Feature]:
        """All features by name, in the order of a batch: the fields, statistics of earlier days, histories."""
        return all_features(self.fields, self.statistics, self.history)

    @cached_property
    def layout(self) -> Layout:
        """Where the features stand in a batch."""
        return Layout.of(feature.slot(name) for name, feature in self.features.items())

    @property
    def crosses(self) -> list[tuple[str, str]]:
        """The pairs of features whose vectors are multiplied; unless they are named, those of fields of ids."""
        if isinstance(self.net.crosses, list):
            return [(left, right) for left, right in self.net.crosses]
        of_ids = {name: field.side for name, field in self.fields.items() if isinstance(field.slot(name), IdSlot)}
        users, videos = ([name for name, of in of_ids.items() if of == side] for side in ("user", "video"))
        return [(left, right) for left in users for right in videos]

    def part(self, *keys: str) -> dict[str, Any]:
        """The named keys (`a` or `a.b`) as plain values, to store or to take a digest of."""
        whole = self.model_dump()
        return {key: _reach(whole, key) for key in keys}

    def public(self) -> dict[str, Any]:
        """Everything as plain values to keep or to show: what only the holder of a secret may know is left out.

        A setting of Spark goes as a whole where its name or its value says that it holds a secret, as Spark does it.
        """
        whole = self.model_dump()
        spark = {
            key: value
            for key, value in whole["spark"].items()
            if not SECRET.search(key) and not SECRET.search(str(value)) and redact(str(value)) == str(value)
        }
        shown = {key: value if key in _SQL else redacted(value) for key, value in whole.items()}
        return {**shown, "spark": spark}

    def digest(self, *keys: str) -> str:
        """A short hash of the named keys, or of everything."""
        return digest(self.part(*keys) if keys else self.model_dump())


def _reach(values: Any, key: str) -> Any:
    for name in key.split("."):
        values = values[name]
    return values
