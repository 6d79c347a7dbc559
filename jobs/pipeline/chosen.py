"""The model that `--model` names: the champion, the candidate, or one of any kept run."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.pipeline.runs import folders, read_run
from ncs.config import Config
from ncs.errors import ConfigError, DataError
from ncs.lake.documents import RunDescription
from ncs.lake.layout import Lake
from ncs.lake.registry import CANDIDATE, CHAMPION, ModelRef, Registry

if TYPE_CHECKING:  # who only asks for a name needs no torch
    from ncs.runs.predictor import Predictor


@dataclass(frozen=True)
class Chosen:
    """A model of a kept run: the run's description and configuration, the model's name and folder."""

    described: RunDescription
    conf: Config
    model: str
    key: str
    """The name of the model's folder in the run's."""

    @property
    def ref(self) -> ModelRef:
        """Its name in the registry."""
        return ModelRef(self.described.run_id, self.model)

    def predictor(self, lake: Lake) -> "Predictor":
        """The scorer of encoded rows."""
        from ncs.runs.predictor import Predictor

        folder = lake.uri("models", self.ref.run_id)
        return Predictor.load(folder, self.model, self.conf, self.described.sizes)


def run_and_model(lake: Lake, run_id: str | None, model: str) -> tuple[str | None, str]:
    """The run and its model that two options name together, None for the newest run.

    `model` may name a model of the lake by itself, as `choose` takes it; then there is no other run to name.
    """
    if model not in (CHAMPION, CANDIDATE) and "/" not in model:
        return run_id, model
    if run_id is not None:
        raise ConfigError(
            f"--model {model} names its run itself; leave out --run {run_id}, or name a model of that run"
        )
    ref = choose(lake, model).ref
    return ref.run_id, ref.model


def choose(lake: Lake, text: str) -> Chosen:
    """The model that `champion`, `candidate` or `RUN_ID/MODEL` names.

    Raises:
        ConfigError: it is none of these forms.
        DataError: no model has the alias, or the run is not there, is broken, or does not hold the model.
    """
    return load(lake, Registry.read(lake).resolve(text))


def load(lake: Lake, ref: ModelRef) -> Chosen:
    """A model by its name in the registry; errors as `choose`."""
    described = read_run(lake, ref.run_id)
    conf = described.configuration
    known = folders(described, conf)
    if ref.model not in known:
        raise DataError(f"run {ref.run_id} has no model {ref.model!r}, it has {', '.join(known)}; name one of these")
    return Chosen(described, conf, ref.model, known[ref.model])
