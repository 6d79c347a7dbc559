"""What ranks in a simulation or an estimate: the newest run's systems of `simulate.pairs`, and the ids they know."""

from dataclasses import dataclass
from typing import Any

from jobs.job import Job
from jobs.runs import latest_run
from ncs import config
from ncs.config import Config
from ncs.errors import DataError
from ncs.lake import layout
from ncs.ranking.encoding import Encoder
from ncs.training.predictor import Predictor


@dataclass(frozen=True)
class Rankers:
    """Trained systems by name, and what turns values into their ids."""

    run_id: str
    conf: Config
    scorers: dict[str, Predictor]
    encoder: Encoder

    def made(self) -> list[Any]:
        """What decides their predictions."""
        return [self.run_id, [self.conf.systems[system].key(system) for system in self.scorers]]


def load(job: Job) -> Rankers:
    """Load them. Raises DataError for a system that the run does not hold."""
    found = latest_run(job.lake)
    run_id, conf = found["run_id"], config.of_run(found)
    systems = sorted({system for pair in job.conf.simulate.pairs for system in pair})
    missing = [system for system in systems if system not in found["systems"]]
    if missing:
        raise DataError(
            f"simulate.pairs names {', '.join(missing)}, run {run_id} holds {', '.join(found['systems'])}; "
            f"run `ncs train` with these systems or name other pairs"
        )
    folder = job.lake.uri("models", run_id)
    scorers = {system: Predictor.load(folder, system, conf, found["sizes"]) for system in systems}
    version = found["lineage"]["tables"][layout.VOCABULARY]
    encoder = Encoder(conf.fields, job.lake.read(layout.VOCABULARY, version, ["field", "value", "id"]))
    return Rankers(run_id, conf, scorers, encoder)
