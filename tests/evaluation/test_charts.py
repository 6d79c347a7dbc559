"""The report's pictures as SVG."""

import re

from matplotlib.axes import Axes

from ncs.evaluation.svg import svg


def _draw(axis: Axes) -> None:
    axis.plot([0, 1], [1, 0], "o-")


def test_ids_are_of_one_chart_alone_and_found_in_it() -> None:
    pictures = [svg(_draw, title) for title in ("one", "another")]
    ids = [set(re.findall(r' id="([^"]*)"', picture)) for picture in pictures]
    assert all(ids)
    assert not ids[0] & ids[1]
    for picture, own in zip(pictures, ids, strict=True):
        assert set(re.findall(r'(?:url\(|href=")#([^")]*)', picture)) <= own
    assert svg(_draw, "one") == pictures[0]
