"""Images by opaque id, served as they are, once per browser."""

import re
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import Response

from dataset_tools.common.files import inside
from dataset_tools.common.remote import File
from dataset_tools.errors import FrameError, ManifestError
from dataset_tools.frames import read_picture
from labeling_app.annotation.state import ServerState
from labeling_app.web.errors import ApiError
from labeling_app.web.guard import signed_in

# The id stands for the pixels: what it names never changes, so a browser need not ask again.
CACHE_CONTROL = "private, max-age=31536000, immutable"
_TYPES = {".png": "image/png", ".webp": "image/webp", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
_OPAQUE = re.compile(r"[0-9a-f]{32}")


def find_image(state: ServerState, opaque: str) -> File | None:
    """Return the file behind an opaque id, or ``None`` when there is none where the data set keeps its frames."""
    picture = state.catalogue.files.get(opaque) if _OPAQUE.fullmatch(opaque) else None
    if picture is None:
        return None
    try:
        path = inside(picture.root, picture.path)
    except ManifestError:  # a link put there after the manifest was read
        return None
    is_there = path.is_file() if isinstance(path, Path) else True  # at a URL, reading it tells
    return path if is_there and path.suffix.lower() in _TYPES else None


def image_response(path: File, opaque: str) -> Response:
    """Return an image whole; the headers name neither the file nor its age.

    Not a FileResponse: that one reads in chunks of 64 kB, each through the event loop, and offers ranges, which the
    browser would ask for after a fetch that it broke off.
    """
    headers = {"Cache-Control": CACHE_CONTROL, "ETag": f'"{opaque}"'}
    return Response(read_picture(path), media_type=_TYPES[path.suffix.lower()], headers=headers)


def media_router(state: ServerState) -> APIRouter:
    """Return the route ``/img/{id}``, for signed-in users."""
    router = APIRouter()

    @router.get("/img/{opaque}", dependencies=[signed_in(state)], include_in_schema=False)
    def image(opaque: str) -> Response:
        path = find_image(state, opaque)
        if path is None:
            raise ApiError("no_image", "no such image")
        try:
            return image_response(path, opaque)
        except FrameError as error:
            raise ApiError("no_image", "no such image") from error

    return router
