"""Numbers that enter the net as numbers, on a scale that is learnt on the training days."""

from typing import Literal

from ncs.kinds.base import Feature
from ncs.kinds.layout import NumberSlot


class Number(Feature):
    """`encode: number`; a missing value is 0 beside a flag.

    standard: less the mean, divided by the standard deviation; log: the same of sign(x) log(1 + |x|); quantile: the
    share of training rows below, from -1 to 1; none: as it is.
    """

    encode: Literal["number"] = "number"
    scale: Literal["standard", "log", "quantile", "none"] = "standard"

    def slot(self, name: str) -> NumberSlot:
        """One number."""
        return NumberSlot(name, nullable=True)
