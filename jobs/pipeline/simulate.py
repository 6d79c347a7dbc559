"""Let synthetic users answer to rankings by the newest run's predictions: view time, CVR, CTR (the paper's Table 3)."""

from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa  # before torch: the other order has crashed

from jobs.job import Job
from jobs.pipeline.chosen import choose
from jobs.pipeline.rankers import load
from ncs.config import digest
from ncs.errors import ConfigError
from ncs.lake import contract, layout
from ncs.logs.world import World
from ncs.simulation.simulation import simulate
from ncs.simulation.table import as_rows, as_text


def run(job: Job, model: str | None = None) -> None:
    """Simulate, print the table, keep it unless the same is kept already.

    `model`: one of any run, whose predictions alone rank; by default `simulate.pairs` of the newest run.
    """
    if job.conf.logs.source is not None:
        raise ConfigError(
            "logs.source: only users of synthetic logs answer to rankings; leave it null for `ncs simulate`"
        )
    run_id = None
    if model is not None:
        chosen = choose(job.lake, model)
        run_id, pairs = chosen.ref.run_id, [[chosen.model, chosen.model]]
        job = replace(job, conf=job.conf.with_keys({"simulate.pairs": pairs}))
    rankers, wanted = load(job, run_id), job.conf.simulate
    days = job.progress(range(wanted.days), "simulate")
    simulation = simulate(World(job.conf.logs), wanted, rankers.scorers, rankers.encoder, days)
    made = {"simulation_id": digest([*rankers.made(), wanted.model_dump()]), "run_id": rankers.run_id}
    if not job.lake.has(layout.SIMULATIONS) or made["simulation_id"] not in _known(job):
        rows = as_rows(simulation, {**made, "made_at": datetime.now(UTC)})
        contract.append(job.lake, layout.SIMULATIONS, pa.Table.from_pylist(rows))
    print(as_text(simulation))
    print(f"simulation: {made['simulation_id']} in {job.lake.uri(layout.SIMULATIONS)}; `ncs evaluate` reports it")


def _known(job: Job) -> set[str]:
    table = job.lake.read(layout.SIMULATIONS, job.lake.version(layout.SIMULATIONS), ["simulation_id"])
    return set(table["simulation_id"].to_pylist())
