"""The API of reviewers and admins: statistics, the queue of disagreements, gold items, accounts, export."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from sqlalchemy import Connection, select

from labeling_app.accounts import Account, add_account, change_account, revoke_token
from labeling_app.annotation.review import review_queue, store_gold, store_verdict
from labeling_app.annotation.state import ServerState
from labeling_app.database.events import to_iso
from labeling_app.database.tables import users
from labeling_app.exchange.exporting import log_export, read_long_table, table_bytes
from labeling_app.quality.stats import Stats, compute_stats
from labeling_app.schemas import (
    DoneResponse,
    GoldRequest,
    ReviewRequest,
    ReviewResponse,
    User,
    UserChange,
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
        duplicate = store_verdict(state, user, body)
        state.verdicts += 1  # the desk's list shows it at once
        return DoneResponse(duplicate=duplicate)

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
        """Add an account; returns all accounts. One that is there already stays as it is: the request is refused."""
        fields = body.model_dump(exclude_none=True)
        state.store.transact(
            lambda connection: add_account(connection, now_us=state.clock(), actor_id=user.id, **fields)
        )
        return [User(**account) for account in list_users(state)]

    @router.patch("/users/{name}")
    def patch_user(name: str, body: UserChange, user: Admin) -> list[User]:
        """Change an account: what is left out stays; returns all accounts."""
        _change_user(state, name, body, actor=user)
        return [User(**account) for account in list_users(state)]

    @router.get("/export")
    def export(user: Admin, format: Literal["csv", "parquet"] = "csv", bom: bool = False) -> Response:  # noqa: A002
        """The long table of all current votes, skips and comments; ``bom`` is for spreadsheets."""
        table = read_long_table(state.store)
        log_export(state.store, {"to": format, "votes": len(table)}, user_id=user.id)
        headers = {"Content-Disposition": f'attachment; filename="votes.{format}"'}
        content = table_bytes(table, csv=format == "csv", bom=bom)
        return Response(content, media_type=_MEDIA_TYPES[format], headers=headers)

    return router


def _change_user(state: ServerState, name: str, body: UserChange, *, actor: Account) -> None:
    now = state.clock()

    def work(connection: Connection) -> None:
        changes = body.model_dump(exclude={"revoke_token"})
        change_account(connection, name, now_us=now, actor_id=actor.id, **changes)
        if body.revoke_token:
            revoke_token(connection, name, now_us=now, actor_id=actor.id)

    state.store.transact(work)


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
