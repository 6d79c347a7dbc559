"""Train models with several seeds, say which differences are settled; what is trained already is not trained again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa  # before torch: the other order has crashed

from jobs.job import Job
from jobs.pipeline import index
from jobs.pipeline.champion import champion_on
from jobs.pipeline.chosen import Chosen
from jobs.pipeline.train import complete
from ncs.config import Config, digest
from ncs.errors import DataError
from ncs.evaluation import paired
from ncs.evaluation.comparison import Compared, as_table, differences, legend
from ncs.evaluation.comparison_page import Comparison, render
from ncs.evaluation.index import Entry
from ncs.lake import contract, layout, storage
from ncs.runs.predictor import Predictor
from ncs.runs.run import Run, field_sizes
from ncs.runs.tuning import tune
from ncs.tasks import tasks_of


def run(job: Job) -> None:
    """Compare, print table and verdict, write the page."""
    comparison = compare(job, Run.of(job.conf, job.lake).versions)
    references = job.conf.compare.references
    table = as_table(comparison.compared, tasks_of(job.conf), references)
    text = f"{table}\n\n{legend(references, comparison.seeds)}\n"
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
    for n in range(wanted.seeds):
        runs.append(_trained(job, conf.with_keys({"train.seed": conf.train.seed + n}), versions))
        job.say(f"compare: {n + 1} of {wanted.seeds} seeds trained, {runs[-1].folder}")
    champion, note = champion_on(job.lake, runs[0])
    labels, predictions = _scored(job, runs, names, champion)
    figures = {
        task.name: paired.figures(
            task,
            labels[task.name],
            [{name: found[task.name] for name, found in one.items()} for one in predictions],
            wanted.resamples,
            conf.train.seed,
        )
        for task in tasks_of(conf).values()
    }
    compared = []
    for name in names:
        own, before = conf.models[name].set, job.conf.models[name].set
        tuned = {key: value for key, value in own.items() if before.get(key) != value}
        of_name = {task: found[name] for task, found in figures.items()}
        compared.append(Compared(name, tuned, [one.facts(name).model_dump() for one in runs], of_name))
    comparison_id, made_at = _keep(job, conf, runs, compared)
    beside = None
    if champion:
        name = str(champion.ref)
        beside = Compared(name, {}, [], {task: found[name] for task, found in figures.items()})
    return Comparison(comparison_id, made_at, job.conf, compared, len(next(iter(labels.values()))), beside, note)


def _trained(job: Job, conf: Config, versions: Mapping[str, int]) -> Run:
    this = Run(conf, job.lake, versions)
    complete(job, this)
    return this


def _scored(
    job: Job, runs: Sequence[Run], names: Sequence[str], champion: Chosen | None
) -> tuple[Mapping[str, np.ndarray], list[dict[str, Mapping[str, np.ndarray]]]]:
    """The test rows' labels by task, and for each run every model's predictions of them, the champion's among them.

    Of more than `compare.rows` every n-th batch is taken, of all days alike: a day's rows stand in a random order.
    """
    loader = runs[0].test_loader()
    batches = list(islice(loader.epoch(0), 0, None, -(-loader.rows // job.conf.compare.rows)))
    inputs = (batch.features for batch in batches)
    ids, numbers = (np.concatenate(parts) for parts in zip(*((part.ids, part.numbers) for part in inputs), strict=True))
    labels = {task: np.concatenate([batch.labels[task].numpy() for batch in batches]) for task in batches[0].labels}
    for task, values in labels.items():
        if np.isnan(values).all():
            raise DataError(f"the test days {job.conf.test_days} hold no label of {task}; test on more of them")
    sizes = field_sizes(runs[0])
    beside = {}
    if champion:
        scorer = champion.predictor(job.lake)
        beside = {str(champion.ref): scorer.predict(scorer.known(ids), numbers)}
    predictions: list[dict[str, Mapping[str, np.ndarray]]] = []
    for one in job.progress(runs, "score", "seed"):
        scorers = {name: Predictor.load(one.folder, name, one.conf, sizes) for name in names}
        predictions.append(beside | {name: scorer.predict(ids, numbers) for name, scorer in scorers.items()})
    return labels, predictions


def _keep(job: Job, conf: Config, runs: Sequence[Run], compared: Sequence[Compared]) -> tuple[str, datetime]:
    """Append the comparison to the lake's tables, to each unless it is there. Returns its id and when it was made."""
    tasks = tasks_of(conf)
    keys = [conf.models[model.model].key(model.model) for model in compared]
    comparison = digest([[one.run_id for one in runs], keys, conf.part("compare.rows", "compare.resamples")])
    made_at = _known(job, layout.COMPARISONS).get(comparison, datetime.now(UTC))
    made = {"comparison_id": comparison, "made_at": made_at}
    by_seed: list[dict[str, Any]] = []
    for n, one in enumerate(runs):
        lineage = one.lineage
        for model in compared:
            for task in tasks.values():
                by_seed.append(
                    {
                        **made,
                        "run_id": one.run_id,
                        "seed": one.conf.train.seed,
                        "model": model.model,
                        "task": task.name,
                        "metric": task.metric,
                        "value": float(model.figures[task.name].by_seed[n]),
                        **{key: model.facts[n][key] for key in ("parameters", "density", "seconds")},
                        "tuned": json.dumps(model.tuned),
                        "conf": one.conf.of_model(model.model).digest(),
                        "tables": json.dumps(lineage.tables),
                        "git": lineage.git,
                    }
                )
    found = [{**made, **asdict(one)} for one in differences(compared, tasks, conf.compare.references)]
    for table, rows in ((layout.COMPARISONS, by_seed), (layout.DIFFERENCES, found)):
        if rows and comparison not in _known(job, table):
            contract.append(job.lake, table, pa.Table.from_pylist(rows))
    return comparison, made_at


def _known(job: Job, table: str) -> dict[str, datetime]:
    """The comparisons that a table holds, and when they were made."""
    if not job.lake.has(table):
        return {}
    rows = job.lake.read(table, job.lake.version(table), ["comparison_id", "made_at"])
    return {row["comparison_id"]: row["made_at"] for row in rows.to_pylist()}
