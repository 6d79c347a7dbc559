"""The question that is named before a comparison: answered against the best control, met only against all of them."""

import pytest

from ncs.config import Endpoint
from ncs.errors import ConfigError
from ncs.evaluation.comparison import Compared, differences
from ncs.evaluation.endpoint import answer
from ncs.tasks import named_tasks
from tests.evaluation.factories import CONF, judged
from tests.factories import toy_conf

ASKED = Endpoint(model="a", controls=["towers", "random"], margin=0.0005)
TASKS = list(named_tasks(CONF).values())
Figures = dict[str, tuple[float, float]]


def asked(planted: Figures) -> str | None:
    models = [Compared(name, {}, [{}] * 3) for name in planted]
    return answer(ASKED, differences(models, judged(planted)), TASKS)


def test_it_is_met_where_every_control_is_beaten() -> None:
    found = asked({"a": (0.130, 0.7900), "towers": (0.132, 0.79), "random": (0.131, 0.7904)})
    assert found is not None
    assert found.startswith(
        "endpoint met: CVR MSE of a is 0.00100 (-0.76%) lower [-0.00101, -0.00099] than that of random"
    )
    assert "its best control; settled against 2 of 2 controls; CTR AUC 0.00040 (-0.05%) lower" in found


@pytest.mark.parametrize(
    ("own", "why"),
    [
        ((0.1309999, 0.79), "not settled against 2 of 2 controls"),
        ((0.132, 0.79), "is 0.00100 (+0.76%) higher"),
        ((0.130, 0.7894), "CTR AUC 0.00060"),
    ],
)
def test_it_is_not_met_where_one_thing_fails(own: tuple[float, float], why: str) -> None:
    found = asked({"a": own, "towers": (0.132, 0.79), "random": (0.131, 0.79)})
    assert found is not None
    assert found.startswith("endpoint not met: ")
    assert why in found


def test_it_is_open_without_a_control_and_not_asked_without_any() -> None:
    found = asked({"a": (0.130, 0.79), "towers": (0.132, 0.79)})
    assert found is not None
    assert found.startswith("endpoint open: ")
    assert found.endswith("random is not among the models")
    assert asked({"a": (0.130, 0.79), "b": (0.132, 0.79)}) is None
    assert asked({"b": (0.130, 0.79), "towers": (0.132, 0.79)}) is None


def test_its_models_are_of_the_catalogue() -> None:
    with pytest.raises(ConfigError, match=r"compare.endpoint: no model is called 'nobody'"):
        toy_conf("compare.endpoint.controls=[nobody]")
    assert toy_conf("compare.endpoint=null").compare.endpoint is None
