"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def to_table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Return a table with a line for the head, one of dashes, and one per row; no newline at the end."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |" for cells in lines)
