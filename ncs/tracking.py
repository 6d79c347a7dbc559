"""Logging of finished runs to MLflow, and registration there.

Nothing else knows of MLflow but `ncs.serving.mlflow_model`, and this imports it only to log.
"""

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from ncs.config import Config, digest
from ncs.errors import ConfigError
from ncs.lake.documents import RunDescription
from ncs.values import redact

KEYS = ("logs.days", "split", "fields", "tasks", "net", "train", "prune", "share", "workers")
"""The keys that decide a model's weights: its parameters."""
LONGEST = 500
"""Characters of a parameter or tag that every server takes."""
_DIGEST = "ncs.digest"
_KEYS = ("ncs.run_id", "ncs.model")
"""The tags that say which model it is."""


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
        for pruned in rounds:
            yield Point(f"mask.density.{task}", pruned["density"]["all"], pruned["round"])
            if pruned["validation"] is not None:
                yield Point(f"mask.validation.{task}", pruned["validation"], pruned["round"])
    for overlap in (masks or {"overlap": []})["overlap"]:
        for figure in ("jaccard", "chance"):
            yield Point(f"mask.{figure}", overlap[figure]["all"], overlap["round"])


def tags(run: RunDescription, model: str, folder: str) -> dict[str, str]:
    """Which run and model, where their files are, which data, code and packages made them."""
    lineage = run.lineage
    data = {f"data.{table}": str(version) for table, version in lineage.tables.items()}
    packages = {f"package.{name}": version for name, version in lineage.packages.items()}
    code = {"ncs.version": lineage.ncs, "ncs.git": lineage.git or "unknown"}
    return {
        "ncs.run_id": run.run_id,
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
    with _client(uri) as client:
        return _log(client, experiment, tracked)


def register(
    uri: str, experiment: str, name: str, alias: str, tags: Mapping[str, str], write: Callable[[Path], None]
) -> str:
    """Give an alias of a registered model (`name`) to the model with these tags; returns its version.

    `write` makes the MLflow model in a folder; it is called where no version is of that run and model yet.
    Raises ConfigError if MLflow is not installed, or refuses.
    """
    with _client(uri) as client:
        version = _version(client, name, tags)
        if version is None:
            place = _place(client, experiment)
            before = client.search_runs([place], _of_model(tags))
            run = before[0] if before else client.create_run(place, tags=dict(tags), run_name=tags["ncs.run_id"])
            with tempfile.TemporaryDirectory() as folder:
                write(Path(folder) / "model")
                client.log_artifacts(run.info.run_id, folder)
            source = f"{run.info.artifact_uri}/model"
            version = client.create_model_version(name, source, run.info.run_id, tags=dict(tags)).version
        client.set_registered_model_alias(name, alias, version)
        return str(version)


@contextmanager
def _client(uri: str) -> Iterator[Any]:
    """MLflow's client. What it refuses is a ConfigError of one line."""
    try:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise ConfigError("track needs MLflow, which is not installed: pip install 'mlflow-skinny>=2'") from None
    try:
        yield MlflowClient(tracking_uri=uri, registry_uri=uri)
    except MlflowException as err:
        raise ConfigError(f"track.uri: MLflow at {uri} says: {redact(str(err).splitlines()[0])}") from None


def _version(client: Any, name: str, tags: Mapping[str, str]) -> str | None:
    """The version of a registered model that is of a run and model; the registered model is created if need be."""
    from mlflow.exceptions import MlflowException

    try:
        client.get_registered_model(name)
    except MlflowException:
        client.create_registered_model(name)
    for version in client.search_model_versions(f"name='{name}'"):
        if all(version.tags.get(tag) == tags[tag] for tag in _KEYS):
            return str(version.version)
    return None


def _place(client: Any, experiment: str) -> str:
    """The id of the experiment, which is created if need be."""
    known = client.get_experiment_by_name(experiment)
    return str(known.experiment_id if known else client.create_experiment(experiment))


def _of_model(tags: Mapping[str, str]) -> str:
    return " and ".join(f"tags.`{tag}` = '{tags[tag]}'" for tag in _KEYS)


def _log(client: Any, experiment: str, tracked: Tracked) -> bool:
    place = _place(client, experiment)
    content = digest(asdict(tracked))
    before = client.search_runs([place], _of_model(tracked.tags))
    if any(run.data.tags.get(_DIGEST) == content for run in before):
        return False
    for run in before:
        client.delete_run(run.info.run_id)
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
    metrics = [Metric(point.name, point.value, 0, point.step) for point in tracked.points]
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
