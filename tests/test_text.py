"""Tables in text: one layout, plain for a terminal and in Markdown."""

from ncs.text import aligned, markdown

LINES = [["table", "files", ""], ["bronze/clicks", "1,024", "-"], ["x", "7", "3, 4"]]


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert aligned(LINES) == [
        "table          files",
        "--------------------------",
        "bronze/clicks  1,024  -",
        "x              7      3, 4",
    ]
    assert aligned(LINES, right=[1])[3] == "x                  7  3, 4"


def test_markdown_has_the_same_columns() -> None:
    assert markdown(LINES).splitlines() == [
        "| table         | files |      |",
        "| ------------- | ----- | ---- |",
        "| bronze/clicks | 1,024 | -    |",
        "| x             | 7     | 3, 4 |",
    ]
