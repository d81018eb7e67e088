"""The annotator's page: one Gradio application holding one custom viewer.

The viewer's markup goes through Gradio's template engine, which would run ``${...}`` in it as code: so it is a constant
file and no text of a user ever gets into it. Everything that changes is fetched by the viewer's own modules and written
with ``textContent``. Gradio's events are not used at all: a vote is a request to our own route, which answers only
after the commit.
"""

import hashlib
from functools import cache
from pathlib import Path

import gradio as gr

VIEWER = Path(__file__).parents[1] / "viewer"
TEXTS = Path(__file__).parents[1] / "texts"
MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".webp": "image/webp",
}

# Gradio runs js_on_load again when a component is shown again; start() removes what an earlier run left behind.
# The modules' addresses are relative to the page: a server of several projects has one page below each name.
_ON_LOAD = (
    'const base = new URL(".{base}", document.baseURI).pathname; '
    'import(base + "/main.js").then((viewer) => viewer.start(element, base));'
)


@cache
def viewer_files() -> dict[str, bytes]:
    """Return the viewer's files by name, as the browser asks for them below ``viewer_base()``."""
    names = [path for path in sorted(VIEWER.rglob("*")) if path.suffix in MEDIA_TYPES]
    return {path.relative_to(VIEWER).as_posix(): path.read_bytes() for path in names}


@cache
def viewer_base() -> str:
    """Return the address of the viewer's files: it changes with their content, so that they can be cached for ever."""
    digest = hashlib.sha256()
    for name, data in viewer_files().items():
        digest.update(f"{name} {len(data)} ".encode() + data)
    return f"/viewer/{digest.hexdigest()[:16]}"


def build_page() -> gr.Blocks:
    """Return the page; it reads nothing, so one serves all annotators."""
    with gr.Blocks(title="Labelling bench", analytics_enabled=False) as page:
        # Not a subclass of gr.HTML: Gradio would write a stub file beside this module for one.
        gr.HTML(
            html_template=(VIEWER / "viewer.html").read_text(encoding="utf-8"),
            js_on_load=_ON_LOAD.format(base=viewer_base()),
            apply_default_css=False,
        )
    # An idle queue looks for work every millisecond, a tenth of a core; this page never uses it.
    page._queue.sleep_when_free = 1.0
    return page


def page_head() -> str:
    """Return what the page needs in its head: the style sheet, and the modules early."""
    base = viewer_base()
    modules = [
        name
        for name in viewer_files()
        if name.endswith(".js") and name not in ("signin.js", "projects.js", "entrance.js", "reference.js")
    ]
    links = [f'<link rel="modulepreload" href=".{base}/{name}">' for name in modules]
    return "\n".join([f'<link rel="stylesheet" href=".{base}/viewer.css">', *links])
