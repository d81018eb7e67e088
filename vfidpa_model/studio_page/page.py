"""The page itself: Gradio's controls on the left, what is to be seen on the right."""

import html
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from dataset_tools.errors import UsageError
from vfidpa_model.routing.cascade import DEFAULT_EFFORT
from vfidpa_model.studio_page import markup
from vfidpa_model.studio_page.session import TRIAL_SECONDS, Session, Settings

STYLE = Path(__file__).with_name("studio.css")
_POLL_SECONDS = 0.3
_FACTORS = [2, 3, 4, 5, 8]
_CODECS = {
    "usual for the file type": "",
    "H.264 (libx264)": "libx264",
    "HEVC (libx265)": "libx265",
    "AV1 (libsvtav1)": "libsvtav1",
    "VP9 (libvpx-vp9)": "libvpx-vp9",
    "lossless FFV1, in MKV": "ffv1",
}
_CONTAINERS = {"same": "", "MP4": "mp4", "MOV": "mov", "MKV": "mkv", "WebM": "webm"}


def build_page(session: Session) -> gr.Blocks:
    """Return the page of a session."""
    with gr.Blocks(title="Studio: video frame interpolation", analytics_enabled=False) as page:
        with gr.Row():
            with gr.Column(scale=1, min_width=300, elem_classes="side"):
                controls = _controls()
            with gr.Column(scale=3, min_width=320):
                views = [gr.HTML(elem_classes="studio", padding=False) for _ in range(4)]
        _wire(page, session, controls, views)
    page.queue(default_concurrency_limit=None)
    # An idle queue looks for work every millisecond, a tenth of a core.
    page._queue.sleep_when_free = 0.05
    return page


def _controls() -> dict[str, Any]:
    made: dict[str, Any] = {}
    gr.HTML("<h2>1. Choose a video</h2>", padding=False)
    made["upload"] = gr.File(label="Video", show_label=False, type="filepath", height=92)
    made["path"] = gr.Textbox(label="or its path on this machine", placeholder="/home/me/clip.mp4", max_lines=1)
    made["look"] = gr.Button("Look at it", size="md")
    gr.HTML("<h2>2. Settings</h2>", padding=False)
    made["effort"] = gr.Slider(0, 1, DEFAULT_EFFORT, step=0.05, label="Effort", info="0: all fast, 1: all accurate")
    with gr.Row():
        made["factor"] = gr.Dropdown(_FACTORS, value=2, label="Factor", min_width=90)
        made["container"] = gr.Dropdown(list(_CONTAINERS.items()), value="", label="File type", min_width=120)
    made["codec"] = gr.Dropdown(list(_CODECS.items()), value="", label="Codec")
    made["draw"] = gr.Button("Show where it would work at this effort", size="sm", interactive=False)
    gr.HTML("<h2>3. Try, then run</h2>", padding=False)
    made["start"] = gr.Slider(0, 1, 0, step=0.1, label=f"Try {TRIAL_SECONDS} seconds from (s)", interactive=False)
    made["try"] = gr.Button(f"Try {TRIAL_SECONDS} seconds", size="md", interactive=False)
    made["run"] = gr.Button("Interpolate it all", variant="primary", size="md", interactive=False)
    made["cancel"] = gr.Button("Cancel", variant="stop", size="md", visible=False)
    return made


def _wire(page: gr.Blocks, session: Session, controls: dict[str, Any], views: list[gr.HTML]) -> None:
    """Let the buttons begin work, and show how it goes until it is done: in every tab, also after a reload."""
    settings = [controls[name] for name in ("effort", "factor", "codec", "container")]
    outputs = [*views, *(controls[name] for name in ("start", "draw", "try", "run", "cancel"))]

    def begin(action: Callable[..., None], *values: Any) -> Iterator[list[Any]]:
        try:
            action(*values)
        except UsageError as error:
            gr.Warning(html.escape(str(error)))
        yield from _follow(session)

    def look(path: str | None, *chosen: Any) -> Iterator[list[Any]]:
        if path and path.strip():
            yield from begin(session.look, Path(path.strip()), Settings(*chosen))
        else:
            gr.Warning("name a file, or drop one")
            yield from _follow(session)

    def draw(*chosen: Any) -> Iterator[list[Any]]:
        yield from begin(session.draw, Settings(*chosen))

    def try_out(start: float, *chosen: Any) -> Iterator[list[Any]]:
        yield from begin(session.try_out, start, Settings(*chosen))

    def run(*chosen: Any) -> Iterator[list[Any]]:
        yield from begin(session.interpolate, Settings(*chosen))

    shown: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    controls["upload"].upload(look, [controls["upload"], *settings], outputs, **shown)
    gr.on([controls["look"].click, controls["path"].submit], look, [controls["path"], *settings], outputs, **shown)
    controls["draw"].click(draw, settings, outputs, **shown)
    controls["try"].click(try_out, [controls["start"], *settings], outputs, **shown)
    controls["run"].click(run, settings, outputs, **shown)
    controls["cancel"].click(session.worker.cancel, **shown)
    page.load(lambda: (yield from _follow(session)), None, outputs, **shown)


def _follow(session: Session) -> Iterator[list[Any]]:
    """Yield what the outputs become, until nothing runs."""
    seen = -1
    while True:
        is_busy, version = session.worker.is_busy, session.shown.version
        status = markup.show_task(session.worker.task)
        if version == seen and is_busy:
            yield [status, *[gr.skip()] * 8]
        else:
            yield [status, *_everything(session, is_busy=is_busy)]
        seen = version
        if not is_busy:
            return
        time.sleep(_POLL_SECONDS)


def _everything(session: Session, *, is_busy: bool) -> list[Any]:
    shown = session.shown
    has_clip = shown.clip is not None and not is_busy
    last = 1.0 if shown.clip is None else max(0.1, round(shown.clip.seconds - 0.1, 1))
    return [
        markup.show_result(shown),
        markup.show_trial(shown),
        markup.show_clip(shown),
        gr.update(maximum=last, interactive=has_clip),
        gr.update(interactive=has_clip and bool(shown.refined)),
        gr.update(interactive=has_clip),
        gr.update(interactive=has_clip),
        gr.update(visible=is_busy),
    ]
