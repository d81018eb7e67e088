"""The constant files of the pages: scripts, styles, pictures and texts, for anybody, signed in or not."""

import json
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from labeling_app.web.page import MEDIA_TYPES, TEXTS, VIEWER, viewer_base, viewer_files

FRESH = {"Cache-Control": "no-store"}
_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}


def file_routes() -> list[Route]:
    """Return the routes of the viewer's files and of the texts in every language."""
    texts = {path.stem: path.read_bytes() for path in sorted(TEXTS.glob("*.json"))}
    names = {language: json.loads(data)["language.name"] for language, data in texts.items()}

    def languages(_: Request) -> Response:
        return JSONResponse(names)

    def page_texts(request: Request) -> Response:
        data = texts.get(request.path_params["language"], texts["en"])
        return Response(data, media_type=MEDIA_TYPES[".json"], headers={"Cache-Control": "no-cache"})

    def viewer_file(request: Request) -> Response:
        name = request.path_params["name"]
        data = viewer_files().get(name)
        if data is None:
            return Response(status_code=404)
        return Response(data, media_type=MEDIA_TYPES["." + name.rpartition(".")[2]], headers=_FOR_EVER)

    return [
        Route("/texts", languages),
        Route("/texts/{language}.json", page_texts),
        Route(viewer_base() + "/{name:path}", viewer_file),
    ]


def fill(name: str, values: Mapping[str, str]) -> str:
    """Return the markup of a page of the viewer with its constants put in; nothing that people wrote gets here."""
    markup = (VIEWER / name).read_text(encoding="utf-8")
    for key, value in {"base": "." + viewer_base(), **values}.items():
        markup = markup.replace("{{" + key + "}}", value)
    return markup
