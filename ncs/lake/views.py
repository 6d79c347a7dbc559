"""Views for analysts: what the tables hold, in the words of the questions that are asked of it.

A view is a query over tables of the lake. `create` makes them for a session (temporary views), or for good in a schema
of the session's catalog; `statement` gives the same as SQL for whatever else reads Delta.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pyspark.sql import SparkSession

from ncs import metrics
from ncs.errors import ConfigError
from ncs.lake import layout
from ncs.lake.layout import Lake
from ncs.lake.tables.results import EVALUATIONS, MASKS, RUN_DIFFERENCES, SIMULATIONS
from ncs.text import quoted


@dataclass(frozen=True)
class View:
    """A view: the tables that it reads, what it is, its columns and what they mean, its query.

    In `query` a table stands as `{gold/evaluations}`.
    """

    name: str
    tables: tuple[str, ...]
    comment: str
    columns: Mapping[str, str]
    query: str

    def select(self, lake: Lake) -> str:
        """The query over the tables of a lake."""
        query = self.query
        for table in self.tables:
            query = query.replace(f"{{{table}}}", relation(lake, table))
        return query


DAILY_LABEL_QUALITY = View(
    "v_daily_label_quality",
    (layout.SAMPLES, layout.QUARANTINE),
    "Labels and set-aside rows, one row a day",
    {
        "day": "the day of the impressions",
        "impressions": "labelled impressions",
        "clicks": "of them, clicked within the attribution window",
        "click_rate": "clicks / impressions",
        "labelled": "clicks that have a CVR label",
        "unlabelled_share": "clicks without one (no usable length) / clicks",
        "mean_cvr": "mean of the CVR labels, watched / length within [0, 1]",
        "not_played_share": "share of the CVR labels that are 0: clicked, not played",
        "watched_whole_share": "share of the CVR labels that are 1: watched to the end",
        "quarantined": "rows of the day's logs that were set aside",
    },
    """
    WITH labels AS (
      SELECT day, count(*) AS impressions, sum(clicked) AS clicks, avg(clicked) AS click_rate, count(cvr) AS labelled,
        1 - try_divide(count(cvr), sum(clicked)) AS unlabelled_share, avg(cvr) AS mean_cvr,
        avg(CAST(cvr = 0 AS INT)) AS not_played_share, avg(CAST(cvr = 1 AS INT)) AS watched_whole_share
      FROM {silver/samples} GROUP BY day
    ), bad AS (SELECT day, count(*) AS quarantined FROM {silver/quarantine} GROUP BY day)
    SELECT labels.*, coalesce(quarantined, 0) AS quarantined FROM labels LEFT JOIN bad USING (day)
    """,
)

MODEL_COMPARISON = View(
    "v_model_comparison",
    (layout.EVALUATIONS, layout.RUN_DIFFERENCES),
    "Every figure of every model on the test days, with 95 % intervals and its paired difference from the baseline's",
    {
        **EVALUATIONS.comments(
            "run_id", "task", "metric", "model", "value", "ci_low", "ci_high", "n", "baseline", "gain"
        ),
        "better": "whether the value is better than the baseline's; null for the baseline itself",
        **RUN_DIFFERENCES.comments("difference", "low", "high"),
        "settled": "whether the paired interval excludes 0; null where the metric has no paired difference",
        "rank": "1 is the best model of the run; null for the truth",
    },
    """
    WITH figures AS (
      SELECT *, metric IN ({more}) AS more_is_better, model = 'truth' AS is_truth
      FROM {gold/evaluations}
    )
    SELECT one.run_id, one.task, one.metric, one.model, one.value, one.ci_low, one.ci_high, one.n, one.baseline,
      one.gain, CASE WHEN one.model = one.baseline THEN NULL WHEN one.more_is_better THEN one.value > base.value
        ELSE one.value < base.value END AS better,
      paired.difference, paired.low, paired.high,
      CASE WHEN paired.model IS NOT NULL THEN paired.better IS NOT NULL END AS settled,
      CASE WHEN NOT one.is_truth THEN rank() OVER (PARTITION BY one.run_id, one.task, one.metric, one.is_truth
        ORDER BY CASE WHEN one.more_is_better THEN -one.value ELSE one.value END) END AS rank
    FROM figures AS one LEFT JOIN figures AS base
      ON (base.run_id, base.task, base.metric, base.model) = (one.run_id, one.task, one.metric, one.baseline)
    LEFT JOIN {gold/run_differences} AS paired
      ON (paired.run_id, paired.task, paired.metric, paired.model) = (one.run_id, one.task, one.metric, one.model)
      AND (paired.reference, paired.reference_run) = (one.baseline, one.run_id)
    """.replace("{more}", ", ".join(map(repr, metrics.names(more_is_better=True)))),
)

MASK_OVERLAP = View(
    "v_mask_overlap",
    (layout.MASKS,),
    "How far two tasks' masks overlap, by layer and pruning round, beside what chance would give",
    {
        **MASKS.comments("run_id", "model"),
        "tasks": "the two tasks, as ctr+cvr",
        **MASKS.comments("round", "layer"),
        "jaccard": "connections that both masks keep / connections that any of them keeps",
        "by_chance": "what two masks as dense as these would overlap if they had nothing to do with each other",
        "above_chance": "jaccard - by_chance",
        "containment": "share of the sparser mask's connections that the denser keeps too; of the final masks alone",
        "containment_by_chance": "the same of two masks as dense as these if they had nothing to do with each other",
    },
    """
    SELECT run_id, model, task AS tasks, round, layer, jaccard, chance AS by_chance, jaccard - chance AS above_chance,
      containment, containment_chance AS containment_by_chance
    FROM (SELECT run_id, model, task, round, layer, figure, value FROM {gold/masks} WHERE input IS NULL)
    PIVOT (max(value) FOR figure IN ('jaccard' AS jaccard, 'chance' AS chance, 'containment' AS containment,
      'containment_chance' AS containment_chance)) WHERE jaccard IS NOT NULL
    """,
)

SIMULATION = View(
    "v_simulation",
    (layout.SIMULATIONS,),
    "Simulated A/B tests of rankings: figures of each arm, and its difference from the first arm",
    {
        **SIMULATIONS.comments("simulation_id", "made_at", "run_id", "arm", "metric", "day"),
        "is_final": "whether it is the last day",
        **SIMULATIONS.comments("users", "value"),
        "gain": "relative difference from the first arm, as an A/B test sees it",
        "gain_low": "lower end of its 95 % interval",
        "gain_high": "upper end",
        "settled": "whether 0 is outside even for whoever looks on every day and stops when it is",
        **SIMULATIONS.comments("paired_gain", "paired_low", "paired_high", "sample_ratio"),
    },
    """
    SELECT simulation_id, made_at, run_id, arm, metric, day,
      day = max(day) OVER (PARTITION BY simulation_id) AS is_final, users, value,
      test_gain AS gain, test_low AS gain_low, test_high AS gain_high, abs(test_gain) > test_any_day AS settled,
      paired_gain, paired_low, paired_high, sample_ratio
    FROM {gold/simulations}
    """,
)

VIEWS = (DAILY_LABEL_QUALITY, MODEL_COMPARISON, MASK_OVERLAP, SIMULATION)


def relation(lake: Lake, table: str) -> str:
    """A table of the lake as Spark SQL names it."""
    return f"delta.{quoted(lake.uri(table))}"


def there(lake: Lake) -> Iterator[View]:
    """The views whose tables the lake has."""
    return (view for view in VIEWS if all(lake.has(table) for table in view.tables))


def create(spark: SparkSession, lake: Lake, schema: str | None = None) -> list[View]:
    """Make the views that there are tables for: in the session, or for good in a schema (`schema`, `catalog.schema`).

    Raises ConfigError if there is no such schema.
    """
    if schema is not None and not spark.catalog.databaseExists(schema):
        raise ConfigError(f"views.into: the catalog has no schema {schema!r}; create it, or name another")
    names = list(there(lake))
    for view in names:
        spark.sql(statement(view, lake, schema))
    return names


def statement(view: View, lake: Lake, schema: str | None) -> str:
    """The SQL that makes a view, with its comments."""
    name = f"VIEW {'.'.join(map(quoted, schema.split('.')))}.{view.name}" if schema else f"TEMPORARY VIEW {view.name}"
    columns = ",\n  ".join(f"{name} COMMENT {_text(what)}" for name, what in view.columns.items())
    head = f"CREATE OR REPLACE {name} (\n  {columns}\n)\nCOMMENT {_text(view.comment)}"
    return f"{head}\nAS {view.select(lake).strip()}"


def _text(words: str) -> str:
    return "'" + words.replace("'", "\\'") + "'"
