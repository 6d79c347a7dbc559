"""What a ranking is judged by: simulated visits, and logs in which chance chose the videos."""

from typing import Annotated

from pydantic import Field, model_validator

from ncs.values import Few, Many, Place, Section, Seed


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
