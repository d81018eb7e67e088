"""The API of the lead's desk: one list of all items, everything about one of them, and steps on many at once."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from labeling_app.accounts import Account, require_row, to_account
from labeling_app.annotation.filters import parse_where
from labeling_app.annotation.state import ServerState
from labeling_app.desk.actions import Order, carry_out
from labeling_app.desk.exclusions import Step
from labeling_app.desk.reading import as_rows, desk_table, find_items, names_of, page_of, remarks_on, votes_of
from labeling_app.desk.selection import Selection
from labeling_app.web.desk_schemas import DeskItem, DeskOutcome, DeskRequest, DeskResponse, DeskRow, DeskVote, Remark
from labeling_app.web.errors import ApiError
from labeling_app.web.guard import account_of


def desk_router(state: ServerState) -> APIRouter:
    """Return the routes of the desk, for reviewers."""
    router = APIRouter(prefix="/api/desk", tags=["desk"])
    Reviewer = Annotated[Account, Depends(account_of(state, at_least="reviewer"))]

    @router.get("")
    def items(
        user: Reviewer,
        where: Annotated[list[str] | None, Query(description="KEY=VALUE, all must fit")] = None,
        sort: str = "triplet_id",
        descending: bool = False,
        page: Annotated[int, Query(ge=0, le=100_000)] = 0,
        size: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> DeskResponse:
        """All items, filtered, sorted, a page at a time."""
        state.refresh()
        selection = Selection(parse_where(where or []))
        with state.store.read(snapshot=True) as connection:
            table = desk_table(state, connection, exact=False)
            people = list(names_of(connection, active=True).values())
        rows, total, statuses = page_of(table, selection, sort=sort, descending=descending, page=page, size=size)
        return DeskResponse(
            items=[DeskRow(**row) for row in rows],
            total=total,
            statuses=statuses,
            people=people,
            sources=sorted(table.items["source"].unique()),
            resolutions=sorted(table.items["resolution"].unique()),
        )

    @router.get("/items/{item_id}")
    def item(item_id: int, user: Reviewer) -> DeskItem:
        """Everything about one item."""
        info = state.catalogue.by_id.get(item_id)
        if info is None:
            raise ApiError("not_yours", f"there is no item {item_id} in the manifest")
        with state.store.read(snapshot=True) as connection:
            names = names_of(connection)
            votes, remarks = votes_of(connection, item_id), remarks_on(connection, item_id, names)
            (row,) = as_rows(desk_table(state, connection).select(Selection(items=frozenset([item_id]))))
        return DeskItem(
            **info.told_to_lead(state.image_addresses(item_id)),
            row=DeskRow(**row),
            votes=[DeskVote(**vote) for vote in votes],
            remarks=[Remark(**remark) for remark in remarks],
        )

    @router.post("")
    def step(body: DeskRequest, user: Reviewer) -> DeskOutcome:
        """Do something to all items that fit, or with ``preview`` say what it would change."""
        order = _order(state, body)
        both = body.expected_items is not None and body.expected_votes is not None
        outcome = carry_out(
            state.store,
            order,
            Step(at_us=state.clock(), user_id=user.id, batch=body.action_id, reason=body.reason),
            lambda connection: find_items(state, connection, order.selection),
            preview=body.preview,
            expected=(body.expected_items or 0, body.expected_votes or 0) if both else None,
        )
        if not body.preview:
            state.take_up_changes()
        return DeskOutcome(**vars(outcome))

    return router


def _order(state: ServerState, body: DeskRequest) -> Order:
    person = None
    if body.person is not None:
        with state.store.read() as connection:
            person = to_account(require_row(connection, body.person))
    items = None if body.items is None else frozenset(body.items)
    return Order(
        action=body.action,
        selection=Selection(body.where, items),
        reason=body.reason,
        to=body.to,
        votes=body.votes,
        person=person,
        level=body.level,
        purpose=body.purpose,
    )
