"""HTML reports: a room's template on the common page, as one file that needs no other file and no network."""

import base64
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


def render_page(package: str, template: str, *, title: str, summary: str, **values: Any) -> str:
    """Return a page; everything filled in is escaped, since names of files and people come from anywhere.

    Args:
        package: Its folder ``templates`` holds the template, which extends ``page.html.jinja``.
        summary: The sentence below the heading.
        values: What the template names.

    Raises:
        jinja2.UndefinedError: The template names something that is not given.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("dataset_tools.common")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    text = environment.get_template(template).render(title=title, summary=summary, **values)
    return text.encode(errors="replace").decode()  # a file's name may hold bytes that are no text


def data_url(data: bytes, *, kind: str) -> str:
    """Return bytes of a media type, such as ``image/png``, as a URL that stands inside an HTML file."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
