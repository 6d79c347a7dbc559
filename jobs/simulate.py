"""Let synthetic users answer to rankings by the newest run's predictions: view time, CVR, CTR (the paper's Table 3).

    ncs simulate --conf conf/demo.yaml --lake lake/demo

Appends to gold/simulations; nothing there is ever overwritten. Starts no Spark.
"""

import sys
from datetime import UTC, datetime

import pyarrow as pa  # before torch: the other order has crashed

from jobs.cli import main
from jobs.job import Job
from jobs.runs import latest_run
from ncs.config import Config, digest
from ncs.errors import ConfigError, DataError
from ncs.lake import layout
from ncs.logs.world import World
from ncs.ranking.encoding import Encoder
from ncs.ranking.simulation import simulate
from ncs.ranking.table import as_rows, as_text
from ncs.training.predictor import Predictor


def run(job: Job) -> None:
    """Simulate, print the table, keep it unless the same is kept already."""
    if job.conf.logs.source is not None:
        raise ConfigError(
            "logs.source: only users of synthetic logs answer to rankings; leave it null for `ncs simulate`"
        )
    found, wanted = latest_run(job.lake), job.conf.simulate
    run_id, conf = found["run_id"], Config.model_validate(found["conf"])
    systems = sorted({system for pair in wanted.pairs for system in pair})
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
    days = job.progress(range(wanted.days), "simulate")
    simulation = simulate(World(job.conf.logs), wanted, scorers, encoder, days)
    keys = [conf.systems[system].key(system) for system in systems]
    made = {"simulation_id": digest([run_id, keys, wanted.model_dump()]), "run_id": run_id}
    if not job.lake.has(layout.SIMULATIONS) or made["simulation_id"] not in _known(job):
        rows = as_rows(simulation, {**made, "made_at": datetime.now(UTC)})
        job.lake.append(layout.SIMULATIONS, pa.Table.from_pylist(rows))
    print(as_text(simulation))
    print(f"simulation: {made['simulation_id']} in {job.lake.uri(layout.SIMULATIONS)}")


def _known(job: Job) -> set[str]:
    table = job.lake.read(layout.SIMULATIONS, job.lake.version(layout.SIMULATIONS), ["simulation_id"])
    return set(table["simulation_id"].to_pylist())


if __name__ == "__main__":
    sys.exit(main(["simulate", *sys.argv[1:]]))
