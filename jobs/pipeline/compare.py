"""Train models with several seeds, say which differences are settled; what is trained already is not trained again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa  # before torch: the other order has crashed

from jobs.job import Job
from jobs.pipeline.champion import champion_on
from jobs.pipeline.chosen import Chosen
from jobs.pipeline.drawn import draw
from jobs.pipeline.train import complete
from ncs.config import Config, digest
from ncs.errors import DataError
from ncs.evaluation import index
from ncs.evaluation.comparison import Compared, Judged, differences, legend
from ncs.evaluation.comparison_page import Comparison, render
from ncs.evaluation.index import Entry
from ncs.evaluation.paired import Analysis, analysis
from ncs.evaluation.trained import Budget, budgets
from ncs.lake import contract, layout, storage
from ncs.lake.documents import Epoch
from ncs.runs.predictor import Predictor
from ncs.runs.run import Run, field_sizes
from ncs.runs.tuning import tune
from ncs.tasks import CVR, WORLD_TRUTH, in_order, named_tasks

_ANALYSIS = "two-way"
"""How differences are computed: part of a comparison's id."""


def run(job: Job) -> None:
    """Compare, print table and verdict, write the page."""
    comparison = compare(job, Run.of(job.conf, job.lake).versions)
    table = comparison.table
    text = f"{table}\n\n{legend(comparison.judged, job.conf.compare.references, comparison.seeds)}\n"
    folder = f"comparison-{comparison.comparison_id}"
    path = job.lake.uri("reports", folder, "comparison.html")
    storage.write_bytes(job.lake.uri("reports", folder, "comparison.md"), text.encode())
    storage.write_bytes(path, render(comparison).encode())
    detail = f"{', '.join(comparison.models)}; {comparison.seeds} seeds; tested on {job.conf.test_days}"
    headline, made_at = comparison.verdict.headline, comparison.made_at
    page = Entry(index.COMPARISON, comparison.comparison_id, made_at, f"{folder}/comparison.html", headline, detail)
    index.add(job.lake, page)
    print("\n".join([table, "", *comparison.verdict.lines()]))
    print(f"comparison: {path}")


def compare(job: Job, versions: Mapping[str, int]) -> Comparison:
    """Tune, train, score; each model's figures, which the lake keeps too.

    All of it on these versions of the tables: a comparison takes hours, in which days may be encoded again.
    """
    wanted = job.conf.compare
    names = list(job.conf.models) if "all" in wanted.models else wanted.models
    conf = job.conf.with_keys({"name": f"{job.conf.name}-compare", "train.models": names})
    conf = tune(conf, lambda trial: _trained(job, trial, versions))
    runs = []
    seeds = job.conf.comparison_seeds
    for n in range(seeds):
        runs.append(_trained(job, conf.with_keys({"train.seed": conf.train.seed + n}), versions))
        job.say(f"compare: {n + 1} of {seeds} seeds trained, {runs[-1].folder}")
    rows = _test_rows(job, runs[0], draw(job, versions))
    champion, note = champion_on(job.lake, runs[0])
    judged = _judged(job, runs, names, rows, champion)
    compared = []
    for name in names:
        own, before = conf.models[name].set, job.conf.models[name].set
        tuned = {key: value for key, value in own.items() if before.get(key) != value}
        facts, seen = [run.facts(name).model_dump() for run in runs], [_budgets(run, name) for run in runs]
        compared.append(Compared(name, tuned, facts, seen))
    comparison_id, made_at = _keep(job, conf, runs, compared, judged, rows.drawn)
    in_service = str(champion.ref) if champion else None
    return Comparison(comparison_id, made_at, job.conf, compared, judged, rows.count, in_service, note)


def _trained(job: Job, conf: Config, versions: Mapping[str, int]) -> Run:
    this = Run(conf, job.lake, versions)
    complete(job, this)
    return this


def _budgets(run: Run, model: str) -> dict[str, Budget]:
    """The epochs that a trained model's weights have seen, by task."""
    folder = run.model_folder(model)
    remedy = f"restore it, or remove {folder} and run the same command"
    lines = storage.read_json_lines(storage.join(folder, "metrics.jsonl"), Epoch, remedy)
    return budgets(lines, run.conf.for_model(model))


@dataclass(frozen=True)
class _TestRows:
    """The test rows that models are compared on."""

    ids: np.ndarray
    """[rows, columns]"""
    numbers: np.ndarray
    """[rows, columns]"""
    labels: Mapping[str, np.ndarray]
    """By task [rows], NaN where a row has none."""
    truth: Mapping[str, np.ndarray]
    """Of those drawn from a synthetic world `ncs.tasks.WORLD_TRUTH` [rows], of others nothing."""
    drawn: int | None

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.ids)


def _test_rows(job: Job, run: Run, drawn: int | None) -> _TestRows:
    """The rows of the test days; of more than `compare.rows` every n-th batch, of all days alike.

    A day's rows stand in a random order. `drawn`: the version of gold/drawn_rows that they are of, if they are.
    """
    loader = run.test_loader(drawn)
    batches = list(islice(loader.epoch(0), 0, None, -(-loader.rows // job.conf.compare.rows)))
    inputs = (batch.features for batch in batches)
    ids, numbers = (np.concatenate(parts) for parts in zip(*((part.ids, part.numbers) for part in inputs), strict=True))
    columns = {name: np.concatenate([batch.labels[name].numpy() for batch in batches]) for name in batches[0].labels}
    truth = {name: columns.pop(name) for name in WORLD_TRUTH if drawn is not None}
    for task, values in columns.items():
        if np.isnan(values).all():
            raise DataError(f"the test days {job.conf.test_days} hold no label of {task}; test on more of them")
    return _TestRows(ids, numbers, columns, truth, drawn)


def _judged(
    job: Job, runs: Sequence[Run], names: Sequence[str], rows: _TestRows, champion: Chosen | None
) -> list[Judged]:
    """All models' figures in the metric of each task, in the order of Table 2, then those against the truth.

    Those of the champion are the same for each seed.

    One seed's predictions are in memory at a time.
    """
    sizes = field_sizes(runs[0])
    tasks = in_order(named_tasks(runs[0].conf).values())
    analyses = [(task, task.measure, analysis(task, rows.labels[task.name])) for task in tasks]
    for task in tasks if rows.truth else ():
        clicked, watched = (rows.truth[name] for name in WORLD_TRUTH)
        expected, weights = (watched, clicked) if task.name == CVR else (clicked, None)
        analyses += [(task, metric, Analysis(metric, expected, weights)) for metric in task.truth_metrics]
    beside = {}
    if champion:
        scorer = champion.predictor(job.lake)
        beside = {str(champion.ref): scorer.predict(scorer.known(rows.ids), rows.numbers)}
    for run in job.progress(runs, "score", "seed"):
        predicted = {
            name: Predictor.load(run.folder, name, run.conf, sizes).predict(rows.ids, rows.numbers) for name in names
        }
        for task, _, analysed in analyses:
            analysed.add({name: by_task[task.name] for name, by_task in (predicted | beside).items()})
    return [Judged(task, metric, analysed.figures()) for task, metric, analysed in analyses]


def _keep(
    job: Job,
    conf: Config,
    runs: Sequence[Run],
    compared: Sequence[Compared],
    judged: Sequence[Judged],
    drawn: int | None,
) -> tuple[str, datetime]:
    """Append the comparison to the lake's tables, to each unless it is there. Returns its id and when it was made."""
    keys = [conf.models[model.model].key(model.model) for model in compared]
    comparison = digest([[run.run_id for run in runs], keys, conf.part("compare.rows"), _ANALYSIS, drawn])
    made_at = contract.made_at(job.lake, layout.COMPARISONS, "comparison_id").get(comparison, datetime.now(UTC))
    common = {"comparison_id": comparison, "made_at": made_at}
    by_seed: list[dict[str, Any]] = []
    for n, run in enumerate(runs):
        lineage = run.lineage
        for model in compared:
            for measure in judged:
                by_seed.append(
                    {
                        **common,
                        "run_id": run.run_id,
                        "seed": run.conf.train.seed,
                        "model": model.model,
                        "task": measure.task.name,
                        "metric": measure.metric.name,
                        "value": float(measure.figures.mean(model.model).by_seed[n]),
                        **{key: model.facts[n][key] for key in ("parameters", "density", "seconds")},
                        **_seen(model.budgets[n].get(measure.task.name)),
                        "tuned": json.dumps(model.tuned),
                        "conf": run.conf.for_model(model.model).digest(),
                        "tables": json.dumps(lineage.tables),
                        "git": lineage.git,
                    }
                )
    from_references = [{**common, **asdict(row)} for row in differences(compared, judged, conf.compare.references)]
    for table, rows in ((layout.COMPARISONS, by_seed), (layout.DIFFERENCES, from_references)):
        if rows and comparison not in contract.made_at(job.lake, table, "comparison_id"):
            contract.append(job.lake, table, pa.Table.from_pylist(rows))
    return comparison, made_at


def _seen(of_task: Budget | None) -> dict[str, Any]:
    return {"epochs": of_task and of_task.epochs, "capped": of_task and of_task.capped}
