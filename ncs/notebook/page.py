"""A notebook that was run, as one HTML file with everything in it."""

from collections.abc import Iterable

import mistune
from matplotlib.figure import Figure

from ncs.evaluation import page
from ncs.evaluation.svg import inline
from ncs.notebook.source import Ran


def render(name: str, ran: Iterable[Ran]) -> str:
    """The page: words, code (folded), what it printed, displayed, drew."""
    markdown = mistune.create_markdown(escape=True)
    cells = [
        {
            "words": None if output.cell.is_code else markdown(output.cell.text),
            "code": output.cell.text,
            "printed": output.printed,
            # to_html escapes the values of a table
            "tables": [table.to_html(index=False, border=0, na_rep="–") for table in output.tables],
            "pictures": [inline(figure, _title(figure)) for figure in output.figures],
        }
        for output in ran  # in this order: a figure is gone when the next cell runs
    ]
    return page.render("notebook.html", name=name, cells=cells)


def _title(figure: Figure) -> str:
    """What a figure shows, for those who do not see it: the titles of its axes."""
    return "; ".join(filter(None, (axis.get_title() for axis in figure.axes))) or "figure"
