"""The JSON documents of a lake: what each holds, as the shapes that `ncs.lake.storage.read_json` checks."""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, model_validator

from ncs import config
from ncs.config import Config
from ncs.lake import storage

_VOCABULARY, _SAMPLES = "gold/vocabulary", "gold/ctr_samples"
Name = Annotated[str, Field(min_length=1)]
_Path = Annotated[str, Field(pattern=r"^([A-Za-z0-9_-]+/)?[A-Za-z0-9_][A-Za-z0-9._-]*$")]
Whole = Annotated[int, Field(ge=0)]


class Document(BaseModel):
    """A JSON object: keys of their types, and whatever more another version of ncs may have written."""

    model_config = ConfigDict(extra="allow", strict=True)


D = TypeVar("D", bound=Document)


def read_document(uri: str, kind: type[D], remedy: str) -> D:
    """A JSON file as a typed document; errors as `storage.read_json`."""
    return kind.model_validate(storage.read_json(uri, kind, remedy))


def read_documents(uri: str, kind: type[D], remedy: str) -> list[D]:
    """Each line of a file of JSON lines as a typed document; errors as `storage.read_json_lines`."""
    return [kind.model_validate(value) for value in storage.read_json_lines(uri, kind, remedy)]


class Origin(Document):
    """`lake.json`: the keys of `logs` that the lake's logs are identified by."""

    logs: dict[str, Any]


class Latest(Document):
    """`models/latest.json`: the run that was trained last."""

    run_id: Name


def _pinned(tables: dict[str, int]) -> dict[str, int]:
    for table in (_VOCABULARY, _SAMPLES):
        if table not in tables:
            raise ValueError(f"no version of {table}")
    return tables


class Lineage(Document):
    """The versions of tables, code and packages that a run was trained with."""

    tables: Annotated[dict[str, Whole], AfterValidator(_pinned)]
    ncs: str
    git: str | None
    packages: dict[str, str]
    seed: int | None = None
    workers: int | None = None
    parent: str | None = None
    """The run that it goes on from."""
    why: str | None = None
    """Why it begins from nothing where it was to go on from a parent: `ncs daily`."""


class RunDescription(Document):
    """`models/<run_id>/run.json`. `conf` is checked by `ncs.config.from_run`."""

    run_id: Name
    name: str
    models: Annotated[list[Name], Field(validation_alias=AliasChoices("models", "systems"))]
    conf: dict[str, Any]
    sizes: dict[str, Annotated[int, Field(ge=1)]]
    vocabulary: dict[str, Any]
    lineage: Lineage

    @cached_property
    def configuration(self) -> Config:
        """`conf` as a configuration; errors as `ncs.config.from_run`."""
        return config.from_run({"run_id": self.run_id, "conf": self.conf})


def models_in(run: Mapping[str, Any]) -> list[str]:
    """The models that a run holds, by its description; the version before called them systems."""
    return run["models"] if "models" in run else run["systems"]


class TaskFacts(Document):
    """A task of a trained model on the validation rows; `soundness` as `ncs.soundness.Soundness` names it."""

    score: float
    lowest: float
    highest: float
    skill: float
    soundness: str


class Facts(Document):
    """`facts.json` of a model: its skill on validation, what it cost, its size; `tasks` since models are judged."""

    skill: float
    seconds: float
    wait_share: float | None = None
    """The share of the seconds that was spent on waiting for data."""
    parameters: Whole
    density: float
    workers: list[int] = []
    """The numbers of workers that trained it: several, where some were lost."""
    tasks: dict[str, TaskFacts] = {}


class Epoch(Document):
    """A line of a model's `metrics.jsonl`."""

    phase: str
    task: str | None
    round: int | None
    epoch: int
    loss: dict[str, float]
    validation: dict[str, float]
    skill: float
    seconds: float
    samples: int
    wait_share: float
    workers: int = 1
    subgroup: Annotated[int | None, Field(validation_alias=AliasChoices("subgroup", "part"))] = None
    """Which subgroup of the workers trained it; None: all of them."""
    device: str = "cpu"

    @property
    def key(self) -> tuple[str, str | None, int | None, int]:
        """What a run has one epoch of."""
        return self.phase, self.task, self.round, self.epoch


def _with_whole(by_layer: dict[str, float]) -> dict[str, float]:
    if "all" not in by_layer:
        raise ValueError("no figure of all layers")
    return by_layer


ByLayer = Annotated[dict[str, float], AfterValidator(_with_whole)]


class MaskRound(Document):
    """A pruning round of a task."""

    round: int
    density: ByLayer
    validation: float | None


class Overlap(Document):
    """How the masks of two tasks overlap in a round."""

    round: int
    jaccard: ByLayer
    chance: ByLayer


ByTwo = dict[str, dict[str, float]]


class Masks(Document):
    """`masks.json` of a model: densities, validation figures and overlaps of all rounds."""

    layers: dict[str, int]
    rounds: Annotated[dict[str, Annotated[list[MaskRound], Field(min_length=1)]], Field(min_length=2)]
    chosen: dict[str, int]
    density: dict[str, ByLayer]
    overlap: Annotated[list[Overlap], Field(min_length=1)]
    chosen_overlap: ByTwo
    inputs: ByTwo = {}
    maps: dict[str, dict[str, list[list[float]]]] = {}

    @model_validator(mode="after")
    def _of_one_search(self) -> "Masks":
        """Tasks, rounds and layers agree throughout."""
        for task, rounds in self.rounds.items():
            if not 0 <= self.chosen.get(task, -1) < len(rounds):
                raise ValueError(f"chosen names none of the rounds of {task}")
            if self.density and task not in self.density:
                raise ValueError(f"density lacks {task}")
            if any(layer not in pruned.density for pruned in rounds for layer in self.layers):
                raise ValueError(f"a round of {task} lacks the density of a layer")
        left, right, *_ = self.rounds
        for figure in ("shared", f"{left}_only", f"{right}_only"):
            if self.chosen_overlap and figure not in self.chosen_overlap:
                raise ValueError(f"chosen_overlap lacks {figure}")
        return self


class LayerConflict(Document):
    """The angle between the gradients of two tasks in a layer: mean cosine, share of batches where it is negative."""

    cosine: float
    negative: float


class Conflict(Document):
    """`conflict.json` of a model: layer -> conflict, with the weights that masks were searched from and in the end."""

    theta: dict[str, LayerConflict]
    final: dict[str, LayerConflict]


class ManifestFile(Document):
    """A file of a run; `shapes` are those of the tensors in it."""

    size: Whole
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class RunManifest(Document):
    """`models/<run_id>/manifest.json`: path below the run's folder -> what stands there."""

    run_id: Name
    files: Annotated[dict[_Path, ManifestFile], Field(min_length=1)]


class Order(Document):
    """The order of a launcher to its workers."""

    conf: dict[str, Any]
    lake: dict[str, str]
    versions: dict[str, Whole]
    parent: str | None
    quiet: bool
