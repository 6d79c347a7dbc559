"""The past that rows look back to: statistics of earlier days and histories of their users."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

from pyspark.sql import DataFrame

from ncs.config import Config
from ncs.errors import DataError
from ncs.features.encoding import encode_columns
from ncs.kinds.statistics import join_statistics


@dataclass(frozen=True)
class Earlier:
    """Earlier days of some rows."""

    conf: Config
    days: Collection[date]
    """The days of the rows."""
    daily: DataFrame | None
    """gold/daily_statistics; None: no day lies before the rows, or there are no statistics."""
    rows: DataFrame | None
    """silver/samples of further days; None: no day lies before the rows, or nothing looks back to single rows."""
    own: DataFrame | None = None
    """silver/samples of the rows' days, all of them, which statistics with a lag look back to."""
    drawn: bool = False
    """Whether the rows are none of silver/samples, so that histories do not look back to them but to `own`."""

    def join(self, samples: DataFrame, vocabulary: DataFrame) -> DataFrame:
        """Add the statistics of `samples` as columns; their fields and histories, encoded, as `<name>#`.

        The fields first, for samples are read at less cost than what has been joined.
        """
        rows = encode_columns(samples, vocabulary, self.conf.fields)
        return self.with_statistics(self._with_histories(rows, vocabulary))

    def with_statistics(self, samples: DataFrame) -> DataFrame:
        """Add each statistic as a column, double, null where there is none."""
        shown = self.own
        if shown is not None and self.rows is not None:
            shown = shown.unionByName(self.rows, allowMissingColumns=True)
        return join_statistics(samples, self.conf.statistics, self.days, self.daily, shown)

    def _with_histories(self, rows: DataFrame, vocabulary: DataFrame) -> DataFrame:
        """Add each history as `<name>#`, array<int>, to encoded rows."""
        shown = rows
        fields = {name: self.conf.fields[name] for history in self.conf.history.values() for name in history.of}
        if self.drawn and self.own is not None:
            shown = encode_columns(self.own, vocabulary, fields)
        if self.rows is not None:
            encoded = encode_columns(self.rows, vocabulary, fields)
            shown = shown.select(*encoded.columns).unionByName(encoded)
        for name, history in self.conf.history.items():
            rows = history.join(rows, shown, name)
        return rows


def check_earlier(samples: DataFrame, conf: Config) -> None:
    """Raise DataError for a statistic by a column that the samples lack, or a name that a column of theirs has."""
    names = {name.lower(): name for name in samples.columns}
    for statistics in conf.statistics:
        for name in statistics.by:
            if name not in samples.columns:
                there = ", ".join(sorted(samples.columns))
                raise DataError(
                    f"statistics by {statistics.group}: silver/samples has no column {name}; it has {there}"
                )
            if samples.schema[name].dataType.typeName() in ("array", "binary"):
                kind = samples.schema[name].dataType.simpleString()
                raise DataError(
                    f"statistics by {statistics.group}: {name} is {kind} in silver/samples, rows cannot agree in it; "
                    f"leave it out of by"
                )
    for name in conf.features.keys() - conf.fields.keys():
        if name.lower() in names:
            raise DataError(
                f"{name}: a statistic or history is called like column {names[name.lower()]} of silver/samples; "
                f"rename the column in the log, or the history"
            )
