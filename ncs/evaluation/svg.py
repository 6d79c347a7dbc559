"""Drawings of matplotlib as inline SVG, in the colours of the page around them."""

import hashlib
import io
import logging
import re
import warnings
from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ncs.evaluation.models import GREY, printable

logging.getLogger("matplotlib").setLevel(logging.ERROR)  # of caches and fonts it warns whoever reads the terminal

_OF_THE_PAGE = {
    "#000000": "currentColor",
    "#ffffff": "var(--paper, #fff)",
    "#e6e8eb": "var(--grid, #e6e8eb)",
    "#d9dce1": "var(--dead, #d9dce1)",
}
"""Colours of the drawing -> the page's own, which are others in dark mode."""
STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "grid.color": "#e6e8eb",
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "legend.frameon": False,
    "lines.markersize": 4,
    "svg.fonttype": "none",  # text stays text: small, and it can be searched
    "svg.hashsalt": "ncs",
    "text.parse_math": False,  # a $ in a name is a $
}


def svg(draw: Callable[[Axes], None], title: str, height: float = 2.9) -> str:
    """Run `draw` on one pair of axes and give the figure as an SVG element. `height` is in inches, of 4.4 in width."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(4.4, height), layout="constrained")
        try:
            axis.set_title(title)
            draw(axis)
            return inline(figure, title)
        finally:
            plt.close(figure)


def signed(value: float, position: float | None = None) -> str:
    """The label of a tick of differences; 0, which rounding may miss by a little, has no sign."""
    return "0" if abs(value) < 1e-12 else f"{value:+g}"


def inline(figure: Figure, title: str) -> str:
    """A figure as an SVG element in the colours of the page around it; `title` is for those who do not see it."""
    buffer = io.StringIO()
    with plt.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)  # the browser has a font for it
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    text = printable(buffer.getvalue())
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    for colour, of_the_page in _OF_THE_PAGE.items():
        text = text.replace(f": {colour}", f": {of_the_page}")
    # Names of groups would come again in every panel, and an id must not.
    text = re.sub(r'<g id="[^"]*">', "<g>", text)
    mark = hashlib.sha256(text.encode()).hexdigest()[:8]  # nor must those of clips and markers, in another chart
    for name in set(re.findall(r' id="([a-z][0-9a-f]{10})"', text)):
        text = text.replace(name, f"{name}-{mark}")
    start, end = text.index("<svg "), text.index(">", text.index("<svg ")) + 1
    head = text[start:end].replace("<svg ", '<svg role="img" ', 1)
    return f"{head}<title>{escape(printable(title))}</title>{text[end:]}"
