"""What the desk's routes take and answer, checked and described for OpenAPI."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from labeling_app.desk.actions import Action
from labeling_app.schemas import Body, ClientId, Id, Level, ReviewVote, ShownToLead, Text

Word = Annotated[str, Field(max_length=512)]


class DeskRequest(Body):
    """One step on a selection of items; with ``preview`` it only says what it would change."""

    action_id: ClientId
    action: Action
    where: dict[Word, Word] = Field(default_factory=dict, max_length=20, description="Filters, all must fit.")
    items: list[Id] | None = Field(None, max_length=20_000, description="Only these items; null: all that fit.")
    preview: bool = False
    expected_items: int | None = Field(None, ge=0, description="What the preview said: refused if it changed.")
    expected_votes: int | None = Field(None, ge=0)
    reason: Text = ""
    to: Literal["others", "all"] = "others"
    votes: int = Field(1, ge=1, le=100)
    person: Word | None = None
    level: Level | None = None
    purpose: Literal["training", "qualification", "gold"] = "gold"


class DeskOutcome(BaseModel):
    """What a step changed, or would change."""

    items: int
    votes: int
    replaced: int
    people: dict[str, int]
    too_few_people: int


class DeskRow(BaseModel):
    """One item in the desk's list; ``level`` is the verdict, else the gold level, else the median of the votes."""

    item_id: int
    triplet_id: str
    source: str
    clip: str
    resolution: str
    interval: int
    status: str
    level: float | None
    votes: int
    wanted: int
    spread: int
    histogram: list[int]
    skipped: int
    flagged: int
    commented: int
    excluded: int
    motion: float | None
    score: float | None


class DeskResponse(BaseModel):
    """A page of the desk's list; ``statuses`` counts all items that fit, whatever page they are on."""

    items: list[DeskRow]
    total: int
    statuses: dict[str, int]
    people: list[str]
    sources: list[str]
    resolutions: list[str]


class DeskVote(ReviewVote):
    """One vote on an item, also one that is set aside."""

    vote_id: int
    stage: str
    excluded: bool
    seen_share: float | None


class Remark(BaseModel):
    """What people did or said beside votes: a skip with its reason, a comment, a verdict."""

    kind: Literal["skip", "comment", "note", "verdict"]
    person: str | None
    text: str
    level: int | None
    created_at: str


class DeskItem(ShownToLead):
    """Everything about one item, to be looked at on the bench."""

    row: DeskRow
    votes: list[DeskVote]
    remarks: list[Remark]
