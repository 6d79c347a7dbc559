"""What is logged to MLflow of a finished run. Nothing else knows of MLflow, and this imports it only to log."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, NamedTuple

from ncs.config import Config, digest
from ncs.errors import ConfigError
from ncs.values import redact

KEYS = ("logs.days", "split", "fields", "tasks", "net", "train", "prune", "share", "workers")
"""What decides a model's weights: its parameters."""
LONGEST = 500
"""Characters of a parameter or tag that every server takes."""
_DIGEST = "ncs.digest"


class Point(NamedTuple):
    """A value of a metric at a step: an epoch, or a pruning round."""

    name: str
    value: float
    step: int


@dataclass(frozen=True)
class Tracked:
    """One MLflow run: a model of a run. `files` are texts by the name of the artefact."""

    name: str
    params: Mapping[str, str]
    points: Sequence[Point]
    tags: Mapping[str, str]
    files: Mapping[str, str]


def parameters(conf: Config) -> dict[str, str]:
    """The keys of a model's own configuration that decide its weights, `a.b` -> value."""
    return {name: str(value)[:LONGEST] for key, part in conf.part(*KEYS).items() for name, value in _flat(key, part)}


def points(metrics: Iterable[Mapping[str, Any]], masks: Mapping[str, Any] | None) -> Iterator[Point]:
    """Losses and validation figures by epoch; of masks, density, validation figure and overlap by round."""
    for line in metrics:
        phase = line["phase"] if line["round"] is None else f"{line['phase']}.round_{line['round']}"
        for kind in ("loss", "validation"):
            for name, value in line[kind].items():
                yield Point(f"{phase}.{kind}.{name}", value, line["epoch"])
    for task, rounds in (masks or {"rounds": {}})["rounds"].items():
        for one in rounds:
            yield Point(f"mask.density.{task}", one["density"]["all"], one["round"])
            if one["validation"] is not None:
                yield Point(f"mask.validation.{task}", one["validation"], one["round"])
    for one in (masks or {"overlap": []})["overlap"]:
        for figure in ("jaccard", "chance"):
            yield Point(f"mask.{figure}", one[figure]["all"], one["round"])


def tags(run: Mapping[str, Any], model: str, folder: str) -> dict[str, str]:
    """Which run and model, where their files are, which data, code and packages made them."""
    lineage = run["lineage"]
    data = {f"data.{table}": str(version) for table, version in lineage["tables"].items()}
    packages = {f"package.{name}": version for name, version in lineage["packages"].items()}
    code = {"ncs.version": lineage["ncs"], "ncs.git": lineage["git"] or "unknown"}
    return {
        "ncs.run_id": run["run_id"],
        "ncs.model": model,
        "ncs.folder": folder[:LONGEST],
        **code,
        **data,
        **packages,
    }


def log(uri: str, experiment: str, tracked: Tracked) -> bool:
    """Log a model's run, unless the tracking server has it; what it has of it that is older, or half, gives way.

    Returns whether it was logged. Raises ConfigError if MLflow is not installed, or refuses.
    """
    try:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise ConfigError("track needs MLflow, which is not installed: pip install 'mlflow-skinny>=2'") from None
    try:
        return _log(MlflowClient(tracking_uri=uri), experiment, tracked)
    except MlflowException as err:
        raise ConfigError(f"track.uri: MLflow at {uri} says: {redact(str(err).splitlines()[0])}") from None


def _log(client: Any, experiment: str, tracked: Tracked) -> bool:
    known = client.get_experiment_by_name(experiment)
    place = known.experiment_id if known else client.create_experiment(experiment)
    content = digest(asdict(tracked))
    which = " and ".join(f"tags.`{tag}` = '{tracked.tags[tag]}'" for tag in ("ncs.run_id", "ncs.model"))
    before = client.search_runs([place], which)
    if any(one.data.tags.get(_DIGEST) == content for one in before):
        return False
    for one in before:
        client.delete_run(one.info.run_id)
    run_id = client.create_run(place, tags=dict(tracked.tags), run_name=tracked.name).info.run_id
    _log_points(client, run_id, tracked)
    for name, text in tracked.files.items():
        client.log_text(run_id, text, name)
    client.set_tag(run_id, _DIGEST, content)  # last: it says that everything is there
    client.set_terminated(run_id)
    return True


def _log_points(client: Any, run_id: str, tracked: Tracked) -> None:
    from mlflow.entities import Metric, Param

    params = [Param(name, value) for name, value in tracked.params.items()]
    metrics = [Metric(one.name, one.value, 0, one.step) for one in tracked.points]
    for part in _parts(params, 100):  # a server takes no more at once
        client.log_batch(run_id, params=part)
    for part in _parts(metrics, 1000):
        client.log_batch(run_id, metrics=part)


def _parts(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


def _flat(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(f"{key}.{name}", inner)
    else:
        yield key, json.dumps(value) if isinstance(value, list) else value
