"""What the page shows, as HTML: from a template that escapes everything, since names of files come from anywhere."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from vfidpa_model.studio_page.analysis import clock
from vfidpa_model.studio_page.session import TRIAL_SECONDS, Shown
from vfidpa_model.studio_page.tasks import Task

# Gradio runs these as code in what is put into its HTML: ${...} in the browser, {{...}} as a template.
_RUN_BY_GRADIO = str.maketrans({"$": "&#36;", "{": "&#123;", "}": "&#125;", "`": "&#96;"})


def show_task(task: Task | None) -> str:
    """Return how far the work is, or why it ended."""
    return _fill("task.html.jinja", task=task)


def show_clip(shown: Shown) -> str:
    """Return facts, notes, difficulty and the frames with what would be refined."""
    return _fill("clip.html.jinja", shown=shown)


def show_trial(shown: Shown) -> str:
    """Return the five seconds side by side."""
    return _fill("trial.html.jinja", trial=shown.trial, seconds=TRIAL_SECONDS)


def show_result(shown: Shown) -> str:
    """Return where to get the finished output."""
    size = None if shown.result is None else shown.result.path.stat().st_size / 1e6
    return _fill("result.html.jinja", result=shown.result, megabytes=size)


def _fill(template: str, **values: Any) -> str:
    environment = Environment(
        loader=PackageLoader("vfidpa_model.studio_page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clock"] = clock
    text = environment.get_template(template).render(**values)
    return text.translate(_RUN_BY_GRADIO).encode(errors="replace").decode()
