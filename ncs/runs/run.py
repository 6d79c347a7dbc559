"""A run: a configuration on pinned versions of the samples, with a folder for its models and their lineage."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ncs
from ncs.config import Config, Role, Selection, digest, without_later
from ncs.errors import DataError
from ncs.lake import layout, manifest, storage
from ncs.lake.documents import Facts, Lineage, RunDescription, models_in, read_document
from ncs.lake.layout import Commit, Lake
from ncs.lake.vocabulary import means_the_same
from ncs.tasks import CTR, WORLD_TRUTH, named_tasks

if TYPE_CHECKING:  # torch and Petastorm take seconds, which a run that is trained already should not cost
    from ncs.data_loading import Snapshot, TableLoader

_NOT_DECISIVE = ("models", "threads", "models_at_once", "device")
"""Keys of `train` that are not part of a run's identity."""
_PACKAGES = ("torch", "horovod", "petastorm", "deltalake", "pyarrow", "numpy", "pyspark", "delta-spark")


@dataclass(frozen=True)
class Run:
    """A configuration and the versions of the samples: they decide the weights, and the run's id."""

    conf: Config
    lake: Lake
    versions: Mapping[str, int]
    parent: str | None = None
    """The run whose weights and masks it goes on from; None: it begins from nothing."""
    why: str | None = None
    """Why it begins from nothing though it was to go on, for its lineage; decides nothing."""

    @classmethod
    def of(cls, conf: Config, lake: Lake, parent: str | None = None, why: str | None = None) -> "Run":
        """The run of this configuration on the newest samples, from nothing or going on from a `parent`.

        Raises DataError if the samples are of several encodings, or it cannot go on from the parent.
        """
        tables = [layout.VOCABULARY, *(task.table for task in named_tasks(conf).values())]
        versions = {table: lake.version(table) for table in tables}
        _require_one_encoding(conf, lake, versions)
        run = cls(conf, lake, versions, parent, why)
        if parent is not None:
            from ncs.runs.warm_start import Parent

            Parent(lake, parent).check(conf, run._data()[layout.VOCABULARY])
        return run

    @cached_property
    def run_id(self) -> str:
        """The same for the same configuration and samples, so that the same command resumes an interrupted run."""
        keys = ("fields", "statistics", "history", "tasks", "net", "train", "prune", "share", "workers")
        decisive = without_later(self.conf.part("logs.days", "split", *keys))
        train = {key: value for key, value in decisive.pop("train").items() if key not in _NOT_DECISIVE}
        decisive["logs.days"] = str(self.conf.learning_days)
        if self.conf.window.train is not None:
            decisive["window.test"] = self.conf.window.test
        if self.parent is not None:
            decisive["parent"] = self.parent
        # A digest sorts keys; the order of the features is that of their vectors.
        order = [list(self.conf.fields), list(self.conf.history)]
        return f"{self.conf.name}-{digest([decisive, order, train, self._data()])}"

    @property
    def folder(self) -> str:
        """The run's folder in the lake."""
        return self.lake.uri("models", self.run_id)

    def pending(self) -> list[str]:
        """The models that are not trained yet."""
        return [name for name in self.conf.train.models if not self._is_trained(name)]

    def _is_trained(self, model: str) -> bool:
        return storage.exists(storage.join(self.model_folder(model), "model.pt"))

    def model_folder(self, model: str) -> str:
        """A model's folder in the run's."""
        return storage.join(self.folder, self.conf.models[model].key(model))

    def facts(self, model: str) -> Facts:
        """The facts of a trained model."""
        folder = self.model_folder(model)
        remedy = f"restore it, or remove {folder} and run `ncs train`"
        return read_document(storage.join(folder, "facts.json"), Facts, remedy)

    @property
    def subgroups(self) -> set[int]:
        """The numbers of subgroups that the workers are split into: a model's tasks, if they are searched at once."""
        confs = map(self.conf.for_model, self.conf.train.models)
        return {len(named_tasks(conf)) for conf in confs if conf.prune.at_once}

    def snapshot(self, table: str, role: Role) -> "Snapshot":
        """The rows of a table that are for a purpose, at the run's version. Raises DataError if there are none."""
        from ncs.data_loading import Snapshot

        selection = self.conf.select(role)
        if self.parent is not None and role != "test":
            from ncs.runs.warm_start import Parent

            selection = Selection(Parent(self.lake, self.parent).new_days(self.conf.train_days))
        return Snapshot.of(self.lake, table, self.versions[table], *selection)

    def test_loader(self, drawn: int | None = None) -> "TableLoader":
        """The test days' impressions with the labels of all tasks, in order, streamed since they may be many.

        With `drawn`, a version of gold/drawn_rows, those that were drawn from the synthetic world, whose truth stands
        among the labels.

        Raises DataError if they are missing.
        """
        from ncs.data_loading import Snapshot, TableLoader

        conf, tasks = self.conf, named_tasks(self.conf)
        labels = {task.name: task.label for task in tasks.values()}
        if drawn is None:
            snapshot = self.snapshot(tasks[CTR].table, "test")
        else:
            snapshot = Snapshot.of(self.lake, layout.DRAWN_ROWS, drawn, conf.test_days)
            labels |= {name: name for name in WORLD_TRUTH}
        size = conf.train.batch_size
        return TableLoader(
            snapshot, conf.layout, labels, batch_size=size, shuffle=False, memory_rows=0, buffer_rows=size
        )

    @property
    def lineage(self) -> Lineage:
        """The data, code and packages of the run."""
        return Lineage(
            tables=dict(self.versions),
            ncs=ncs.__version__,
            git=_commit(),
            packages=_versions(),
            seed=self.conf.train.seed,
            workers=self.conf.workers,
            parent=self.parent,
            why=self.why,
        )

    def describe(self) -> RunDescription:
        """The content of `run.json`."""
        described = storage.derived_json(storage.join(self.folder, manifest.RUN), RunDescription)
        before = models_in(described) if described else []
        known = [name for name in dict.fromkeys([*before, *self.conf.train.models]) if name in self.conf.models]
        return RunDescription(
            run_id=self.run_id,
            name=self.conf.name,
            models=[name for name in known if self._is_trained(name)],
            conf=self.conf.public(),
            sizes=field_sizes(self),
            vocabulary=self._data()[layout.VOCABULARY],
            lineage=self.lineage,
        )

    def verify_trained(self, pending: Sequence[str]) -> None:
        """Compare the files of trained models with the manifest; those of `pending` ones are about to be replaced.

        Raises DataError where a file is missing or differs from what training wrote.
        """
        if manifest.read(self.folder) is not None:
            folders = [self.conf.models[name].key(name) for name in pending]
            manifest.forget(self.folder, [*folders, manifest.RUN])
            manifest.verify(self.folder)

    def write_description(self) -> None:
        """Write `run.json` and, last, the manifest of all files that later stages read."""
        description = self.describe()
        storage.write_json(storage.join(self.folder, manifest.RUN), description)
        folders = [self.conf.models[name].key(name) for name in description.models]
        names = [f"{key}/{file}" for key in folders for file in manifest.artefacts(storage.join(self.folder, key))]
        manifest.write(self.folder, [manifest.RUN, *names], _shapes)

    def _data(self) -> dict[str, Any]:
        """By table, the facts of the commits of the vocabulary and the training days, at the run's versions.

        Not the versions themselves: a day that a killed command wrote twice has another version, but the same rows.
        Rows that another program or `ncs erase` has removed show in the version alone.
        """
        decisive = {layout.ALL, *map(str, self.conf.train_days)}
        commits = {table: self.lake.commits(table, version) for table, version in self.versions.items()}
        return {
            table: {key: _current_facts(key, commit) for key, commit in newest.items() if key in decisive}
            for table, newest in commits.items()
        }


def _current_facts(key: str, commit: Commit) -> dict[str, Any]:
    """The facts of a partition. Rows erased from the vocabulary do not change the ids of other values."""
    erased = key != layout.ALL and commit.rows_version > commit.version
    return commit.record.facts | ({"rows_version": commit.rows_version} if erased else {})


def _require_one_encoding(conf: Config, lake: Lake, versions: Mapping[str, int]) -> None:
    """Raise DataError if days are of several encodings, as a killed one leaves them: an id would mean two values."""
    records = {table: lake.records(table, version) for table, version in versions.items()}
    records.pop(layout.VOCABULARY)
    newest = versions[layout.VOCABULARY]
    for day in map(str, conf.learning_days):
        # A later change by another program does not concern the encoding.
        provenance = [
            _without(by_key[day][1].provenance, layout.CHANGED) for by_key in records.values() if day in by_key
        ]
        used = {encoding["inputs"][layout.VOCABULARY] for encoding in provenance if "inputs" in encoding}
        other = not all(means_the_same(lake, version, newest) for version in used)
        if other or any(encoding != provenance[0] for encoding in provenance):
            raise DataError(
                f"{day} in {', '.join(records)} is not of one encoding, and by the newest {layout.VOCABULARY}; "
                f"`ncs encode` was interrupted, run it again"
            )


def _without(provenance: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in provenance.items() if name != key}


def field_sizes(run: Run) -> dict[str, int]:
    """The number of ids of each feature that has rows of its own in the embedding table, 0 (unknown) included."""
    rows = run.lake.read(layout.VOCABULARY, run.versions[layout.VOCABULARY], ["field", "id"])
    highest = rows.group_by("field").aggregate([("id", "max")]).to_pydict()
    highest_id = dict(zip(highest["field"], highest["id_max"], strict=True))
    features = run.conf.features
    return {name: features[name].largest_id(highest_id.get(name, 0)) + 1 for name in run.conf.layout.tables}


def _shapes(uri: str) -> manifest.Shapes:
    from ncs.training.artefact import tensor_shapes

    return tensor_shapes(uri)


def _versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def _commit() -> str | None:
    """The commit of the source tree, where the package is run from one."""
    git = ["git", "-C", str(Path(ncs.__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(git, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
