"""What is trained each day, and what is asked of a candidate before it becomes the champion."""

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
