"""Let synthetic users answer to rankings by the newest run's predictions: view time, CVR, CTR (the paper's Table 3)."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa  # before torch: the other order has crashed

from jobs.job import Job
from jobs.pipeline.chosen import choose
from jobs.pipeline.rankers import load
from ncs.config import digest
from ncs.errors import ConfigError
from ncs.evaluation import index, rankings
from ncs.evaluation.index import Entry
from ncs.lake import contract, layout, storage
from ncs.logs.world import World
from ncs.simulation.past import Past
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
    past = Past(job.lake, rankers.conf) if rankers.conf.statistics or rankers.conf.history else None
    simulation = simulate(World(job.conf.logs), wanted, rankers.scorers, rankers.encoder, days, past)
    ids = {"simulation_id": digest([*rankers.key(), wanted.model_dump()]), "run_id": rankers.run_id}
    made_at = contract.made_at(job.lake, layout.SIMULATIONS, "simulation_id").get(ids["simulation_id"])
    rows = as_rows(simulation, {**ids, "made_at": made_at or datetime.now(UTC)})
    if made_at is None:
        contract.append(job.lake, layout.SIMULATIONS, pa.Table.from_pylist(rows))
    print("\n".join([as_text(simulation), "", *rankings.verdict(rows).lines()]))
    print(f"simulation: {_page(job, rows)}; `ncs evaluate` puts it into the report")


def _page(job: Job, rows: list[dict[str, Any]]) -> str:
    """Write the page and list it in the index; returns where it stands."""
    simulation_id, folder = rows[0]["simulation_id"], f"simulation-{rows[0]['simulation_id']}"
    path = job.lake.uri("reports", folder, "simulation.html")
    storage.write_bytes(path, rankings.render(rows).encode())
    headline, made_at = rankings.verdict(rows).headline, rows[0]["made_at"]
    detail = f"run {rows[0]['run_id']}; {job.conf.simulate.days} days"
    index.add(job.lake, Entry(index.SIMULATION, simulation_id, made_at, f"{folder}/simulation.html", headline, detail))
    return path
