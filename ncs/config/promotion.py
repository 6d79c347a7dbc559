"""What is trained each day, and what is asked of a candidate before it becomes the champion."""

from typing import Annotated

from pydantic import Field

from ncs.values import Count, NonNegative, Section


class Daily(Section):
    """What `ncs daily` trains."""

    model: str | None
    scratch_every: Count


class Promote(Section):
    """The rules of promotion; what each means is said in `conf/base.yaml`."""

    margin: NonNegative
    better: list[str]
    max_calibration: NonNegative
    least_rows: Count
    resamples: Annotated[int, Field(ge=50, le=100_000)]
