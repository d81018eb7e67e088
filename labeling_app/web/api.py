"""The JSON API of an annotator, and how all routes get onto an application. OpenAPI describes it under ``/docs``."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from sqlalchemy import RowMapping, text

from labeling_app.accounts import Account
from labeling_app.annotation import serving, voting
from labeling_app.annotation.history import history
from labeling_app.annotation.progress import progress_of
from labeling_app.annotation.retakes import retake, retakes_left
from labeling_app.annotation.sides import as_seen, pair_images
from labeling_app.annotation.state import ServerState
from labeling_app.database import events
from labeling_app.database.events import to_iso
from labeling_app.schemas import (
    CommentRequest,
    DoneResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    HistoryEntry,
    HistoryResponse,
    Item,
    ItemsRequest,
    ItemsResponse,
    Progress,
    RetakeRequest,
    SessionResponse,
    SkipRequest,
    UndoRequest,
    UndoResponse,
    VoteRequest,
    VoteResponse,
)
from labeling_app.web.admin_api import admin_router
from labeling_app.web.desk_api import desk_router
from labeling_app.web.errors import ApiError, answer_errors
from labeling_app.web.guard import Guard, account_of
from labeling_app.web.identity import csrf_identity, csrf_token
from labeling_app.web.media import media_router
from labeling_app.web.signin import signin_router

MAX_SETTINGS_CHARS = 8192
LONGEST_HEARTBEAT_SECONDS = 60.0  # a page whose items went to somebody else says so within a minute


def install(app: FastAPI, state: ServerState) -> None:
    """Put all routes, error answers and guards of the bench onto ``app``; call it before mounting a page at ``/``."""
    for make in (session_router, labelling_router, admin_router, desk_router, signin_router, media_router):
        app.include_router(make(state))
    answer_errors(app)
    app.add_middleware(Guard, local_only=state.settings.is_local and state.settings.open_mode)

    @app.get("/healthz", include_in_schema=False)
    def healthz() -> dict[str, str]:
        return check_health(state)


def check_health(state: ServerState) -> dict[str, str]:
    """Return ``{"status": "ok"}``, or raise what the database raises when it does not answer."""
    with state.store.read() as connection:
        connection.execute(text("SELECT 1"))
    return {"status": "ok"}


def session_router(state: ServerState) -> APIRouter:
    """Return the routes about the annotator: who it is, settings, progress."""
    router = APIRouter(prefix="/api", tags=["labelling"])
    User = Annotated[Account, Depends(account_of(state))]

    @router.get("/session")
    def session(request: Request, user: User) -> SessionResponse:
        """Who is signed in, and what a page needs to start."""
        with state.store.read() as connection:
            saved = events.latest(connection, "settings", user_id=user.id)
        identity = csrf_identity(state, request)
        return SessionResponse(
            user=user.name,
            role=user.role,
            csrf="" if identity is None else csrf_token(state.secret, identity),
            settings={} if saved is None else events.load(saved),
            progress=progress_of(state, user),
            options={
                "blind": state.settings.blind,
                "pairs": state.settings.against is not None,
                "overlap": state.settings.overlap,
                "language": state.settings.language,
                "heartbeat_seconds": min(LONGEST_HEARTBEAT_SECONDS, state.settings.lease_seconds / 3),
            },
            stage=serving.current_stage(state, user),
        )

    @router.put("/settings")
    def settings(body: dict[str, Any], user: User) -> DoneResponse:
        """Keep the annotator's page settings (keys, language)."""
        if len(events.dump(body)) > MAX_SETTINGS_CHARS:
            raise ApiError("too_large", f"settings must be at most {MAX_SETTINGS_CHARS} characters of JSON")
        voting.save_settings(state, user, body)
        return DoneResponse(duplicate=False)

    @router.get("/progress")
    def progress(user: User) -> Progress:
        """How far the annotator is."""
        return progress_of(state, user)

    return router


def labelling_router(state: ServerState) -> APIRouter:
    """Return the routes with which an annotator (or a script with a token) labels."""
    router = APIRouter(prefix="/api", tags=["labelling"])
    User = Annotated[Account, Depends(account_of(state))]

    @router.post("/items")
    def items(body: ItemsRequest, user: User) -> ItemsResponse:
        """Lease items: those already held come first, in order, so a reload shows the same ones."""
        rows, reason = serving.next_items(state, user, count=body.count)
        left = retakes_left(state, user) if reason == "qualification" else 0
        found = [to_item(state, row) for row in rows]
        return ItemsResponse(items=found, nothing_left=not rows, reason=reason, retakes_left=left)

    @router.post("/qualification/retake")
    def qualification_retake(body: RetakeRequest, user: User) -> DoneResponse:
        """Take a failed qualification again, as often as the project allows."""
        return DoneResponse(duplicate=retake(state, user, retake_id=body.retake_id))

    @router.post("/votes")
    def votes(body: VoteRequest, user: User) -> VoteResponse:
        """Store a vote; when the answer comes, it is on disk. Send it again with the same id after a lost answer."""
        voted = voting.vote(state, user, body)
        return VoteResponse(
            duplicate=voted.duplicate,
            counted=voted.counted,
            feedback=voted.feedback,
            progress=progress_of(state, user),
            stage=serving.current_stage(state, user),
        )

    @router.post("/undo")
    def undo(body: UndoRequest, user: User) -> UndoResponse:
        """Take back the latest vote or skip; repeat for those before it."""
        undone = voting.undo(state, user, body.undo_id)
        said = voting.undone(state, user, body.undo_id)
        return UndoResponse(
            undone=to_item(state, undone[0]) if undone and undone[0]["item_id"] in state.catalogue.by_id else None,
            **(as_seen(state, *undone) if undone else {"level": None}),
            skipped=said is not None and said.skipped,
            flagged=said is not None and said.flagged,
            comment=said.comment if said is not None else None,
            progress=progress_of(state, user),
        )

    @router.get("/history")
    def last_items(user: User) -> HistoryResponse:
        """The last items that the annotator rated or skipped, to correct one of them."""
        entries = [
            HistoryEntry(
                item=to_item(state, done.assignment),
                **as_seen(state, done.assignment, done.level),
                flagged=done.flagged,
                comment=done.comment,
                reason=done.reason,
                counted=done.counted,
                created_at=to_iso(done.created_at_us),
            )
            for done in history(state, user)
        ]
        return HistoryResponse(items=entries)

    @router.post("/skips")
    def skips(body: SkipRequest, user: User) -> DoneResponse:
        """Leave an item to others, with a reason."""
        return DoneResponse(
            duplicate=voting.skip(
                state, user, skip_id=body.skip_id, assignment_id=body.assignment_id, reason=body.reason
            )
        )

    @router.post("/comments")
    def comments(body: CommentRequest, user: User) -> DoneResponse:
        """Store a remark on an item."""
        return DoneResponse(
            duplicate=voting.comment(
                state, user, comment_id=body.comment_id, assignment_id=body.assignment_id, words=body.text
            )
        )

    @router.post("/heartbeat")
    def heartbeat(body: HeartbeatRequest, user: User) -> HeartbeatResponse:
        """Renew leases."""
        ids, expires_us = voting.heartbeat(state, user, body.assignment_ids)
        return HeartbeatResponse(assignment_ids=ids, lease_expires_at=to_iso(expires_us))

    return router


def to_item(state: ServerState, row: RowMapping) -> Item:
    """Return what an annotator may know of an assignment; hidden checks look like any item."""
    info = state.catalogue.by_id[row["item_id"]]
    kind = row["kind"]
    address = state.image_addresses(row["item_id"])
    blind = state.settings.blind and kind != "training"
    if info.is_pair:
        names = pair_images(state, row)
    elif blind:
        real_first = voting.shows_real_first(state, row["id"])
        names = {"a": "gt" if real_first else "pred", "b": "pred" if real_first else "gt"}
    else:
        names = {"pred": "pred", "gt": "gt"}
    images = {name: address[role] for name, role in {"img0": "img0", "img1": "img1", **names}.items()}
    return Item(
        **info.told() | {"images": images},
        assignment_id=row["id"],
        stage=kind if kind in ("training", "qualification") else "work",
        lease_expires_at=to_iso(row["lease_expires_at_us"]),
        blind=blind,
    )
