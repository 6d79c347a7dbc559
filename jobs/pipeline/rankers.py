"""The rankers of a simulation or an estimate: the newest run's models of `simulate.pairs`, and the ids they know."""

from dataclasses import dataclass
from typing import Any

from jobs.job import Job
from jobs.pipeline.runs import read_run
from ncs.config import Config
from ncs.errors import DataError
from ncs.lake import layout
from ncs.lake.vocabulary import read_ids
from ncs.runs.predictor import Predictor
from ncs.serving import Encoder


@dataclass(frozen=True)
class Rankers:
    """Trained models by name, and what turns values into their ids."""

    run_id: str
    conf: Config
    scorers: dict[str, Predictor]
    encoder: Encoder

    def key(self) -> list[Any]:
        """The run and the models, for the ids of what is computed with them."""
        return [self.run_id, [self.conf.models[model].key(model) for model in self.scorers]]


def load(job: Job, run_id: str | None = None) -> Rankers:
    """Load them, of a run or of the newest. Raises DataError for a model that the run does not hold."""
    described = read_run(job.lake, run_id)
    run_id, conf = described.run_id, described.configuration
    models = sorted({model for pair in job.conf.simulate.pairs for model in pair})
    missing = [model for model in models if model not in described.models]
    if missing:
        raise DataError(
            f"simulate.pairs names {', '.join(missing)}, run {run_id} holds {', '.join(described.models)}; "
            f"run `ncs train` with these models or name other pairs"
        )
    folder = job.lake.uri("models", run_id)
    scorers = {model: Predictor.load(folder, model, conf, described.sizes) for model in models}
    encoder = Encoder(conf.features, read_ids(job.lake, described.lineage.tables[layout.VOCABULARY]))
    return Rankers(run_id, conf, scorers, encoder)
