"""The picture of two subnetworks: as many lines of a colour as its share of the connections asks for."""

from ncs.evaluation.charts import COLOURS
from ncs.evaluation.mask_maps import subnetworks


def test_there_are_as_many_lines_as_connections_are_kept() -> None:
    layer = {"shared": [[0.9, 0.1], [0.0, 0.3]], "ctr_only": [[0.1, 0.2], [0.7, 0.3]], "cvr_only": [[0, 0.6], [0, 0]]}
    picture = subnetworks({"rounds": {"ctr": [], "cvr": []}, "maps": {"hidden.0": layer}})
    assert picture is not None
    # A line of the legend, too, has its colour. A third of four pairs is shared, a third is of CTR, a seventh of CVR.
    lines = {name: picture.count(f"stroke: {COLOURS[n]}") - 1 for name, n in (("both", 2), ("ctr", 0), ("cvr", 1))}
    assert lines == {"both": 1, "ctr": 1, "cvr": 1}
    assert subnetworks({"rounds": {}, "maps": {}}) is None
