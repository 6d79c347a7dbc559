"""A notebook that was run, as one HTML file with everything in it."""

import base64
import io
from collections.abc import Iterable
from pathlib import Path

import jinja2
import mistune
from matplotlib.figure import Figure

from ncs.notebook.source import Ran


def render(name: str, ran: Iterable[Ran]) -> str:
    """The page: words, code (folded), what it printed, displayed, drew."""
    markdown = mistune.create_markdown(escape=True)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))
    cells = [
        {
            "words": None if one.cell.is_code else markdown(one.cell.text),
            "code": one.cell.text,
            "printed": one.printed,
            "tables": [
                table.to_html(index=False, border=0, na_rep="–") for table in one.tables
            ],  # escapes what is in it
            "pictures": [{"png": _png(figure), "title": _title(figure)} for figure in one.figures],
        }
        for one in ran  # in this order: a figure is gone when the next cell runs
    ]
    return template.render(name=name, cells=cells)


def _png(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()


def _title(figure: Figure) -> str:
    """What a figure shows, for those who do not see it: the titles of its axes."""
    return "; ".join(filter(None, (axis.get_title() for axis in figure.axes))) or "figure"
