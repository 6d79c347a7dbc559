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
            "words": None if one.cell.is_code else markdown(one.cell.text),
            "code": one.cell.text,
            "printed": one.printed,
            "tables": [table.to_html(index=False, border=0, na_rep="–") for table in one.tables],  # escapes its values
            "pictures": [inline(figure, _title(figure)) for figure in one.figures],
        }
        for one in ran  # in this order: a figure is gone when the next cell runs
    ]
    return page.render("notebook.html", name=name, cells=cells)


def _title(figure: Figure) -> str:
    """What a figure shows, for those who do not see it: the titles of its axes."""
    return "; ".join(filter(None, (axis.get_title() for axis in figure.axes))) or "figure"
