"""Sections on running and storage, on what is done with trained models, and on judging rankings."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from ncs.values import LARGEST, Count, Few, Many, NonNegative, Place, Section, Seed

_PLACE = r"[A-Za-z0-9][A-Za-z0-9._-]*:[1-9][0-9]{0,4}"
"""A host and its slots; what begins with - could be an option of whoever is handed it."""


class Launch(Section):
    """Who starts the workers, where, and what is done when one is lost."""

    launcher: Literal["horovodrun", "torch", "spark", "spark_torch"]
    hosts: Annotated[str, Field(pattern=rf"^{_PLACE}(,{_PLACE})*$")] | None
    network: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:@-]*(,[A-Za-z0-9][A-Za-z0-9_.:@-]*)*$")] | None
    restarts: Annotated[int, Field(ge=0, le=1000)]
    stall_seconds: Annotated[int, Field(ge=1, le=7 * 24 * 3600)]

    @property
    def slots(self) -> dict[str, int]:
        """Host -> the workers that it takes; empty: this machine."""
        pairs = (place.rsplit(":", 1) for place in self.hosts.split(",")) if self.hosts else ()
        return {host: int(slots) for host, slots in pairs}

    @model_validator(mode="after")
    def _hosts_of_horovodrun(self) -> "Launch":
        if self.hosts and self.launcher != "horovodrun":
            raise ValueError(f"launch.hosts is read by horovodrun alone, the launcher is {self.launcher}")
        return self


class Privacy(Section):
    """Pseudonyms of the users."""

    key: Annotated[str, Field(pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$")] | None


class Maintain(Section):
    """Upkeep of the tables' files."""

    retain_days: Few
    small_file_mb: Few


class Track(Section):
    """Where finished runs are logged to MLflow, and the models in use are registered."""

    uri: Place | None
    experiment: Annotated[str, Field(min_length=1)]
    model: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^/:'\"]+$")] | None


class Views(Section):
    """Where the SQL views are created."""

    into: str | None

    @field_validator("into")
    @classmethod
    def _a_schema(cls, name: str | None) -> str | None:
        if name is not None and not re.fullmatch(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?", name):
            raise ValueError("name a schema, or catalog.schema, of letters, digits and _")
        return name


class DataLoading(Section):
    """How rows come from Delta files to the net."""

    memory_rows: Annotated[int, Field(ge=0, le=LARGEST)]
    buffer_rows: Count


class Daily(Section):
    """The model that `ncs daily` trains."""

    model: str | None
    scratch_every: Count


class Promote(Section):
    """The rules of promotion; what each means is said in `conf/base.yaml`."""

    margin: NonNegative
    better: list[str]
    max_calibration: NonNegative
    least_rows: Count


class Simulate(Section):
    """The ranking simulation: whose predictions rank, who comes, what could be shown."""

    pairs: Annotated[list[Annotated[list[str], Field(min_length=2, max_length=2)]], Field(min_length=1)]
    days: Few
    visits: Many
    candidates: Annotated[int, Field(ge=2, le=10_000)]
    top: Few
    buckets: Annotated[int, Field(ge=20, le=1_000_000)]
    seed: Seed

    @model_validator(mode="after")
    def _a_choice(self) -> "Simulate":
        if self.top >= self.candidates:
            raise ValueError(f"top is {self.top} of {self.candidates} candidates, which leaves nothing to rank")
        return self


class OffPolicy(Section):
    """The estimates from randomly shown videos: where they are, how many are used, what policy is judged."""

    source: Place | None
    rows: Many
    candidates: Annotated[int, Field(ge=2, le=10_000)]
    others: Few
    seed: Seed

    @model_validator(mode="after")
    def _enough_others(self) -> "OffPolicy":
        if self.others < self.candidates - 1:
            raise ValueError(f"others is {self.others}, of which no set of {self.candidates - 1} can be drawn")
        return self
