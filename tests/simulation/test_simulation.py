"""Rankings that the small world's users answer to: ends of the scale, equal arms, what is kept."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ncs.config import Config
from ncs.config import load as load_conf
from ncs.errors import DataError
from ncs.kinds import Buckets, Vocabulary
from ncs.lake import contract, layout
from ncs.lake.layout import Lake
from ncs.logs.world import World
from ncs.serving import Encoder
from ncs.simulation.simulation import ORACLE, RANDOM, SAME, Simulation, check_features, simulate
from ncs.simulation.table import as_rows, as_text
from ncs.simulation.visits import draw_visits, respond
from tests.factories import ROOT
from tests.lake.assertions import matches_declaration

SMALL = ["logs.synthetic.users=600", "logs.synthetic.videos=80", "logs.impressions=3000"]
SMALL += ["simulate.visits=800", "simulate.days=2", "simulate.candidates=12", "simulate.top=3", "simulate.buckets=70"]
IDS = {"user_id": {"side": "user", "encode": "vocabulary"}, "video_id": {"side": "video", "encode": "vocabulary"}}


class Knows:
    """A model that knows the truth of the first day's home page, from ids that are its users' and videos' own."""

    def __init__(self, world: World, blur: float) -> None:
        self.world, self.blur = world, blur

    def predict(self, ids: np.ndarray, numbers: np.ndarray, tasks: Iterable[str]) -> dict[str, np.ndarray]:
        """The truth, blurred."""
        count = len(ids)
        shown = {
            "user_id": ids[:, 0] - 1,
            "video_id": ids[:, 1] - 1,
            "ts": np.full(count, self.world.schedule.midnights[-1]),
            "position": np.ones(count),
            "scene": np.full(count, "home"),
            "device": np.full(count, "phone"),
        }
        truth = self.world.truth(shown)
        noise = np.exp(self.blur * np.random.default_rng(1).normal(size=count))
        return {"ctr": truth["click_probability"] * noise, "cvr": truth["expected_cvr"]}


def vocabulary(conf: Config) -> pa.Table:
    counts = {"user_id": conf.logs.synthetic.users, "video_id": conf.logs.synthetic.videos}
    rows = [{"field": f, "value": str(n), "id": n + 1} for f, count in counts.items() for n in range(count)]
    return pa.Table.from_pylist(rows)


@pytest.fixture(scope="module")
def conf() -> Config:
    models = [f"models.{name}={{module: single_task}}" for name in ("blind", "seeing")]
    pairs = "simulate.pairs=[[blind, blind], [seeing, seeing]]"
    return load_conf(
        str(Path(ROOT, "conf", "demo.yaml")), [*SMALL, *models, pairs, f"fields={IDS}", "net.crosses=user*video"]
    )


@pytest.fixture(scope="module")
def simulation(conf: Config) -> Simulation:
    world = World(conf.logs)
    scorers = {"blind": Knows(world, 3.0), "seeing": Knows(world, 0.0)}
    return simulate(world, conf.simulate, scorers, Encoder(conf.fields, vocabulary(conf)), range(2))


def test_what_ranks_better_is_seen_to(simulation: Simulation) -> None:
    final = {one.arm.name: one for one in simulation.final()}
    gains = {name: one.paired["view_seconds"] for name, one in final.items() if one.paired}
    assert gains["2) seeing, seeing"].low > 0
    assert gains[ORACLE].gain == pytest.approx(gains["2) seeing, seeing"].gain, abs=0.05)
    assert gains[ORACLE].low > 0 > gains[RANDOM].high
    assert final[ORACLE].test is not None
    assert final[ORACLE].test["view_seconds"].gain > 0


def test_equal_arms_are_answered_alike(simulation: Simulation) -> None:
    same = next(one for one in simulation.final() if one.arm.name == SAME)
    assert same.paired is not None
    assert same.test is not None
    for metric, found in same.paired.items():
        assert (found.gain, found.low, found.high) == (0, 0, 0)
        assert same.test[metric].gain != 0, "its own users are others"
    assert simulation.sample_ratio > 0.001


def test_a_visit_shows_its_best_candidates_once(conf: Config) -> None:
    world = World(conf.logs)
    visits = draw_visits(world, conf.simulate, day=1)
    assert visits.candidates.shape == visits.repeated.shape == (800, 12)
    for candidates, repeated in zip(visits.candidates[:50], visits.repeated[:50], strict=True):
        assert Counter(candidates[~repeated].tolist()).most_common(1)[0][1] == 1
    assert (visits.context["ts"] >= world.schedule.midnights[-1] + 86_400_000_000).all()
    found = respond(world, visits, np.zeros(visits.candidates.shape), top=3)
    assert found["shown"].max() == 3
    assert (found["clicks"] <= found["shown"]).all()
    assert (found["watched"] <= found["clicks"]).all()
    again = respond(world, visits, np.zeros(visits.candidates.shape), top=3)
    assert all((found[name] == again[name]).all() for name in found)


def test_rows_and_words_say_the_same(simulation: Simulation) -> None:
    rows = as_rows(simulation, {"run_id": "r"})
    assert Counter(row["arm"] for row in rows) == dict.fromkeys({one.arm.name for one in simulation.outcomes}, 6)
    final = {row["arm"]: row for row in rows if row["day"] == 2 and row["metric"] == "view_seconds"}
    text = as_text(simulation)
    for name, row in final.items():
        line = next(line for line in text.splitlines() if line.startswith(name))
        assert f"{row['value']:.1f}" in line
        if row["paired_gain"] is not None:
            assert f"{row['paired_gain']:+.2%}" in line


def test_the_table_is_what_the_data_dictionary_tells(simulation: Simulation, lake: Lake) -> None:
    made = {"simulation_id": "s", "run_id": "r", "made_at": datetime.now(UTC)}
    contract.append(lake, layout.SIMULATIONS, pa.Table.from_pylist(as_rows(simulation, made)))
    assert matches_declaration(lake, layout.SIMULATIONS)


def test_an_unknown_value_is_id_0_and_a_missing_column_is_named(conf: Config) -> None:
    encoder = Encoder(conf.fields, vocabulary(conf))
    assert encoder.column("user_id", np.array([0, 599, 600])).tolist() == [1, 600, 0]
    with pytest.raises(DataError, match=r"fields.video_id.*the synthetic world has no such column"):
        check_features(conf.fields, ["user_id"])
    edges = pa.Table.from_pylist([{"field": "user_id", "value": v, "id": n} for n, v in [(1, "-inf"), (2, "3.5")]])
    bucketed = Encoder({"user_id": Buckets(side="user")}, edges)
    assert bucketed.column("user_id", np.array([3.0, 3.5, 9.0, np.nan])).tolist() == [1, 2, 2, 0]


def test_whole_numbers_are_the_same_value_whatever_their_type() -> None:
    """As in `ncs encode`: 65.0 is looked up as 65."""
    fields = {"age": Vocabulary(side="user")}
    known = pa.table({"field": ["age"] * 2, "value": ["65", "0.5"], "id": [1, 2]})
    encoder = Encoder(fields, known)
    assert encoder.column("age", np.array([65.0, 0.5, np.nan, 7.0])).tolist() == [1, 2, 0, 0]
    assert encoder.column("age", np.array([65, 7])).tolist() == [1, 0]
