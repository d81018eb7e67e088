"""The API of reviewers and admins: statistics, the queue of disagreements, gold items, accounts, export."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from sqlalchemy import select

from labeling_app.accounts import Account, add_account, change_account, check_name, find_row
from labeling_app.accounts.sessions import close_all
from labeling_app.annotation.review import review_queue, store_gold, store_verdict
from labeling_app.annotation.state import ServerState
from labeling_app.database.events import to_iso
from labeling_app.database.tables import users
from labeling_app.exchange.exporting import log_export, table_bytes
from labeling_app.quality.stats import Stats, compute_stats
from labeling_app.quality.votes import long_table, read_votes
from labeling_app.schemas import (
    DoneResponse,
    GoldRequest,
    ReviewRequest,
    ReviewResponse,
    User,
    UserRequest,
)
from labeling_app.web.guard import account_of

_MEDIA_TYPES = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}


def admin_router(state: ServerState) -> APIRouter:
    """Return the routes for reviewers and admins."""
    router = APIRouter(prefix="/api", tags=["administration"])
    Reviewer = Annotated[Account, Depends(account_of(state, at_least="reviewer"))]
    Admin = Annotated[Account, Depends(account_of(state, at_least="admin"))]

    @router.get("/stats")
    def stats(user: Reviewer) -> Stats:
        """Agreement, progress and every annotator's figures."""
        with state.store.read(snapshot=True) as connection:
            return compute_stats(connection, seed=state.settings.seed)

    @router.get("/review")
    def review(user: Reviewer, limit: Annotated[int, Query(ge=1, le=50)] = 10) -> ReviewResponse:
        """Triplets whose votes disagree and that wait for a verdict."""
        return review_queue(state, limit=limit)

    @router.post("/review")
    def verdict(body: ReviewRequest, user: Reviewer) -> DoneResponse:
        """Decide on a triplet; the votes stay."""
        return DoneResponse(duplicate=store_verdict(state, user, body))

    @router.post("/gold")
    def gold(body: GoldRequest, user: Reviewer) -> DoneResponse:
        """Make an item gold (for training, qualification or hidden checks), or ordinary again."""
        return DoneResponse(duplicate=store_gold(state, user, body))

    @router.get("/users")
    def get_users(user: Admin) -> list[User]:
        """All accounts."""
        return [User(**account) for account in list_users(state)]

    @router.post("/users")
    def post_user(body: UserRequest, user: Admin) -> list[User]:
        """Add an account, or change one; returns all accounts."""
        _save_user(state, body, actor=user)
        return [User(**account) for account in list_users(state)]

    @router.get("/export")
    def export(user: Admin, format: Literal["csv", "parquet"] = "csv") -> Response:  # noqa: A002
        """The long table of all current votes."""
        with state.store.read(snapshot=True) as connection:
            table = long_table(read_votes(connection))
        log_export(state.store, {"to": format, "votes": len(table)}, user_id=user.id)
        headers = {"Content-Disposition": f'attachment; filename="votes.{format}"'}
        return Response(table_bytes(table, csv=format == "csv"), media_type=_MEDIA_TYPES[format], headers=headers)

    return router


def _save_user(state: ServerState, body: UserRequest, *, actor: Account) -> None:
    now, name = state.clock(), check_name(body.name)
    with state.store.write() as connection:
        if find_row(connection, name) is None:
            role = body.role or "annotator"
            add_account(connection, name, now_us=now, role=role, password=body.password, actor_id=actor.id)
            return
        changes = body.model_dump(exclude={"name"})
        account = change_account(connection, name, now_us=now, actor_id=actor.id, **changes)
        if body.password is not None or body.disabled:
            close_all(connection, account.id)


def list_users(state: ServerState) -> list[dict[str, Any]]:
    """Return all accounts by name, without secrets."""
    with state.store.read() as connection:
        rows = connection.execute(select(users).order_by(users.c.name)).mappings().all()
    return [
        {
            "name": row["name"],
            "role": row["role"],
            "stage": row["stage"],
            "disabled": bool(row["disabled"]),
            "has_token": row["token_sha256"] is not None,
            "created_at": to_iso(row["created_at_us"]),
        }
        for row in rows
    ]
