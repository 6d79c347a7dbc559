"""Bands of the validation suites, fixed and learnt."""

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, field_validator

from ncs.values import Few, Section

Band = Annotated[list[float], Field(min_length=2, max_length=2)]
Figure = Literal["rows", "click_rate", "mean_cvr", "unlabelled", "nulls", "new_ids", "psi"]
Tolerance = Annotated[float, Field(gt=0)]


class Learnt(Section):
    """Bands learnt from the trailing days: how many, how far a day may be from them, which only warn."""

    days: Annotated[int, Field(ge=0, le=3660)]
    least: Few
    rows: Tolerance
    click_rate: Tolerance
    mean_cvr: Tolerance
    unlabelled: Tolerance
    nulls: Tolerance
    new_ids: Tolerance
    psi: Tolerance
    warn: list[Figure]

    @field_validator("warn", mode="before")
    @classmethod
    def _renamed(cls, names: Any) -> Any:
        """The version before called `psi` a `shift`."""
        return ["psi" if name == "shift" else name for name in names] if isinstance(names, list) else names

    def tolerances(self) -> dict[str, float]:
        """The tolerance of each kind of figure."""
        return {name: getattr(self, name) for name in get_args(Figure)}


class Gates(Section):
    """Bands of the validation suites."""

    click_rate: Band
    mean_cvr: Band
    max_quarantined: Annotated[float, Field(ge=0, le=1)]
    max_duplicates: Annotated[float, Field(ge=0, le=1)]
    max_unlabelled: Annotated[float, Field(ge=0, le=1)]
    learnt: Learnt

    @field_validator("click_rate", "mean_cvr")
    @classmethod
    def _ordered(cls, band: list[float]) -> list[float]:
        if not 0 <= band[0] < band[1] <= 1:
            raise ValueError(f"a band runs from low to high within [0, 1], not {band}")
        return band
