"""A simulation made by hand, as rows of gold/simulations."""

from datetime import UTC, datetime
from typing import Any

from ncs.simulation.simulation import Outcome, Simulation, make_arms
from ncs.simulation.table import as_rows
from ncs.simulation.trial import METRICS, Estimate


def simulated_rows(run_id: str) -> list[dict[str, Any]]:
    """Two pairs over two days; the second one's view time is 3 % better."""
    outcomes = []
    for day in (1, 2):
        for n, arm in enumerate(make_arms([["one", "one"], ["one", "two"]])):
            gain = 0.03 * n if arm.name != "A/A" else 0.001
            found = {metric: Estimate(gain, gain - 0.02 / day, gain + 0.02 / day, 0.04) for metric in METRICS}
            values = dict.fromkeys(METRICS, 10.0 * (1 + gain))
            outcomes.append(Outcome(arm, day, 100, values, found if n else None, found if n else None))
    return as_rows(Simulation(outcomes, 0.5), {"simulation_id": "s", "run_id": run_id, "made_at": datetime.now(UTC)})
