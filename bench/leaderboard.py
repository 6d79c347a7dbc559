"""The leaderboard of one data set: every model over seeds, kept as JSON, and the page of all that are kept.

    .venv/bin/python -m bench.leaderboard --conf conf/kuairand_ids.yaml --lake lake/ids --seeds 10 --models A,B

What is trained is not trained again: a leaderboard that was interrupted goes on with the same command.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow  # noqa: F401  (before torch: the other order has crashed)

from jobs.job import Job
from jobs.pipeline import daily
from jobs.pipeline.compare import compare
from ncs import config
from ncs.config import Config
from ncs.evaluation.comparison import legend
from ncs.evaluation.comparison_page import Comparison
from ncs.lake.layout import Lake
from ncs.runs.run import Run

DOCS = Path(__file__).parent.parent / "docs"
KEPT = DOCS / "leaderboard"
_INTRO = """# Leaderboard

A data set a section: configuration, command, checksum of the logs, models over training seeds. `make test-all` trains
the first seed of one model again and compares its figures with those that are kept in `docs/leaderboard/`.
"""


def main() -> None:
    """Compare, keep the JSON, write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--conf", required=True, type=Path)
    parser.add_argument("--lake", required=True)
    parser.add_argument("--models", default="all")
    parser.add_argument("--seeds", default=10, type=int)
    asked = parser.parse_args()
    settings = [f"compare.models=[{asked.models}]", f"compare.seeds={asked.seeds}"]
    conf = config.load(asked.conf, settings)
    lake = Lake.at(asked.lake)
    job = Job(conf, lake, conf.logs.days)
    daily.bring_to_gold(job)
    comparison = compare(job, Run.of(conf, lake).versions)
    command = f"python -m bench.leaderboard --conf {asked.conf} --seeds {asked.seeds} --models {asked.models}"
    KEPT.mkdir(exist_ok=True)
    kept = as_json(comparison, f"{command} --lake lake/{conf.name}")
    (KEPT / f"{conf.name}.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    (DOCS / "leaderboard.md").write_text(page([read(path) for path in sorted(KEPT.glob("*.json"))]), encoding="utf-8")
    print("\n".join([comparison.table, "", *comparison.verdict.lines()]), file=sys.stdout)
    print(f"leaderboard: {DOCS / 'leaderboard.md'}")


def as_json(comparison: Comparison, command: str) -> dict[str, Any]:
    """What is kept of a comparison; `tolerance`: two standard deviations over the seeds, of each model and metric."""
    conf = comparison.conf
    return {
        "name": conf.name,
        "command": command,
        "logs": checksum(conf),
        "days": {"train": str(conf.train_days), "test": str(conf.test_days)},
        "rows": comparison.rows,
        "seeds": [conf.train.seed + n for n in range(comparison.seeds)],
        "figures": {model: _figures(comparison, model) for model in comparison.models},
        "table": comparison.table.splitlines(),
        "legend": legend(comparison.judged, conf.compare.references, comparison.seeds),
        "verdict": comparison.verdict.lines(),
    }


def _figures(comparison: Comparison, model: str) -> dict[str, Any]:
    found = {}
    for one in comparison.judged:
        by_seed = one.figures.mean(model).by_seed
        tolerance = 2 * float(np.std(by_seed, ddof=1)) if len(by_seed) > 1 else None
        found[f"{one.task.name} {one.metric.name}"] = {"by_seed": by_seed.tolist(), "tolerance": tolerance}
    return found


def checksum(conf: Config) -> str:
    """SHA-256 of the raw logs; of synthetic ones, of what they are generated from."""
    digest = hashlib.sha256()
    if conf.logs.source is None:
        digest.update(conf.logs.model_dump_json().encode())
    else:
        for path in sorted(path for path in Path(conf.logs.source).rglob("*") if path.is_file()):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def page(kept: Sequence[Mapping[str, Any]]) -> str:
    """The page in Markdown."""
    sections = [_INTRO]
    for one in kept:
        facts = f"Logs {one['logs'][:12]}, trained on {one['days']['train']}, tested on {one['days']['test']}: "
        facts += f"{one['rows']:,} impressions. Seeds {one['seeds'][0]} to {one['seeds'][-1]}."
        verdict = "\n".join(one["verdict"])
        table = "\n".join(one["table"])
        sections.append(
            f"## {one['name']}\n\n```\n{one['command']}\n```\n\n{facts}\n\n{table}\n\n{one['legend']}\n\n"
            f"```\n{verdict}\n```\n"
        )
    return "\n".join(sections)


def read(path: Path) -> dict[str, Any]:
    """A kept leaderboard."""
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
