"""Which vocabulary gives the ids that a model was trained with."""

from typing import Any

from ncs.lake.vocabulary import LARGEST, LINEAGE, is_successor


def facts(lineage: str | None, **largest: int) -> dict[str, Any]:
    return {"content": sum(largest.values()), **({LINEAGE: lineage, LARGEST: largest} if lineage else {})}


def test_a_vocabulary_goes_on_if_it_has_grown_or_is_the_same() -> None:
    before = facts("a", user_id=5, video_id=3)
    assert is_successor(facts("a", user_id=7, video_id=3, scene=2), before)
    assert is_successor(before, before)
    assert is_successor(facts(None, user_id=5), facts(None, user_id=5))
    assert not is_successor(facts("b", user_id=7, video_id=3), before), "another lineage"
    assert not is_successor(facts(None, user_id=7), facts(None, user_id=5)), "learnt again"


def test_one_that_has_lost_ids_does_not() -> None:
    before = facts("a", user_id=5, video_id=3)
    assert not is_successor(facts("a", user_id=4, video_id=3), before)
    assert not is_successor(facts("a", user_id=5), before)
