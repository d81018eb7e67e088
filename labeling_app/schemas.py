"""What goes over the wire: request and answer bodies of the JSON API, checked and described for OpenAPI.

Texts that people write (comments, reasons) travel as they are: they are data, and a page shows them as text only.
"""

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from dataset_tools.levels import LEVELS
from labeling_app.accounts import Role, Stage

MAX_TEXT = 2000
MAX_SECONDS = 1e6  # over one item: a laptop may sleep over a holiday with it on the screen
MAX_ITEMS = 5


def _storable(words: Any) -> Any:
    """Return a text without half characters, as a browser leaves of an emoji that its text area has no room for.

    Refused, the vote would be lost for the sake of its comment.
    """
    return words.encode("utf-8", "replace").decode() if isinstance(words, str) else words


ClientId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{8,64}$")]
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT, strip_whitespace=True), BeforeValidator(_storable)]
Id = Annotated[int, Field(ge=1, le=2**31 - 1)]
Side = Literal["left", "same", "right"]  # of a pair: what is worse
SIDES: tuple[Side, ...] = get_args(Side)
Level = Annotated[int, Field(ge=LEVELS[0], le=LEVELS[-1])]


class Body(BaseModel):
    """A request body: unknown fields are refused, so that a misspelt one is not lost silently."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class ItemsRequest(Body):
    """How many items the page wants to hold: those already leased come first."""

    count: int = Field(1, ge=1, le=MAX_ITEMS)


class View(Body):
    """How the annotator looked at the item."""

    mode: Annotated[str, StringConstraints(max_length=32)] = ""
    zoom: float = Field(1.0, ge=0, le=1000)
    dwell_seconds: dict[Annotated[str, StringConstraints(max_length=32)], float] = Field(
        default_factory=dict, max_length=16, description="Seconds spent in each mode."
    )
    device_pixel_ratio: float = Field(1.0, ge=0, le=100)
    window_width: int = Field(0, ge=0, le=100_000)
    window_height: int = Field(0, ge=0, le=100_000)
    seen_share: float | None = Field(None, ge=0, le=1, description="Of the picture, seen at 1:1 or larger.")


class VoteRequest(Body):
    """One level given to one assignment; ``vote_id`` is made by the client, so that a retry is never a second vote.

    In a paired project it is ``worse`` in place of ``level``.
    """

    vote_id: ClientId
    assignment_id: Id
    level: Level | None = None
    worse: Side | None = Field(None, description="Of a pair: which of the two predictions is worse.")
    seconds: float = Field(0.0, ge=0, le=MAX_SECONDS, description="From the item's first paint to the key.")
    flagged: bool = False
    comment: Text | None = None
    view: View | None = None
    corrects: bool = Field(False, description="Replaces this annotator's vote or skip on the same item.")
    blind_choice: Literal["a", "b"] | None = Field(None, description="Blind mode: the image taken for the real one.")

    @model_validator(mode="after")
    def _one_answer(self) -> "VoteRequest":
        if (self.level is None) == (self.worse is None):
            raise ValueError("a vote has either a level or, of a pair, what is worse")
        return self


class UndoRequest(Body):
    """Take back the annotator's latest vote."""

    undo_id: ClientId


class RetakeRequest(Body):
    """Take the qualification again."""

    retake_id: ClientId


class SkipRequest(Body):
    """Leave an item to others."""

    skip_id: ClientId
    assignment_id: Id
    reason: Text = ""


class CommentRequest(Body):
    """A remark on an item."""

    comment_id: ClientId
    assignment_id: Id
    text: Annotated[Text, StringConstraints(min_length=1)]


class HeartbeatRequest(Body):
    """The page still shows or holds these assignments."""

    assignment_ids: list[Id] = Field(max_length=50)


class ReviewRequest(Body):
    """A reviewer's verdict on an item whose votes disagree."""

    verdict_id: ClientId
    item_id: Id
    level: Level
    comment: Text | None = None


class GoldRequest(Body):
    """Make an item a gold item (``level``), or an ordinary one again (null)."""

    gold_id: ClientId
    item_id: Id
    level: Level | None
    purpose: Literal["training", "qualification", "gold"] = "gold"
    note: Text = ""


Password = Annotated[str, StringConstraints(min_length=8, max_length=256)]


class UserRequest(Body):
    """Add an account; without a password it cannot sign in by itself."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    password: Password | None = None
    role: Role = "annotator"


class UserChange(Body):
    """Change an account; fields left out stay as they are. A new password ends its sessions and its token."""

    password: Password | None = None
    role: Role | None = None
    disabled: bool | None = None
    stage: Stage | None = Field(None, description="'work' admits an annotator whom the qualification held back.")
    revoke_token: bool = False


class Images(BaseModel):
    """Addresses of an item's images; they say nothing about the clip.

    Blind mode has ``a`` and ``b``, a pair has ``left`` and ``right`` (and ``gt``, the truth).
    """

    img0: str
    img1: str
    pred: str | None = None
    gt: str | None = None
    a: str | None = None
    b: str | None = None
    left: str | None = None
    right: str | None = None


class Shown(BaseModel):
    """What everybody is told of a triplet; sizes in pixels."""

    resolution: str
    width: int
    height: int
    interval: int
    frame_seconds: float | None = Field(description="Real time between neighbours (img0 to gt); null when unknown.")
    paired: bool = Field(False, description="Two predictions are compared: answers are ``worse``, not levels.")
    images: Images


class Item(Shown):
    """What an annotator gets to see of one triplet."""

    assignment_id: int
    stage: Stage
    lease_expires_at: str = Field(description="ISO 8601, UTC.")
    blind: bool


class ShownToLead(Shown):
    """What a lead is told of a triplet; of a pair the manifest's prediction is on the left."""

    item_id: int
    triplet_id: str


class Progress(BaseModel):
    """How far one annotator is; ``seconds_left`` and the rate leave breaks out, null before the second vote."""

    done: int
    target: int
    remaining: int
    votes_per_hour: float | None
    seconds_left: float | None


class ItemsResponse(BaseModel):
    """Items to label, in order; ``reason`` says why there are none: "done", "qualification" or "leased"."""

    items: list[Item]
    nothing_left: bool
    reason: str | None = None
    retakes_left: int = Field(0, description="How often a failed qualification may be taken again.")


class Feedback(BaseModel):
    """Training only: what was expected."""

    expected_level: int
    given_level: int
    within_one: bool
    sentence: str


class VoteResponse(BaseModel):
    """The vote is in the database. ``counted`` is false for a late vote that the quota no longer wanted: it is kept."""

    accepted: bool = True
    duplicate: bool
    counted: bool
    progress: Progress
    feedback: Feedback | None
    stage: Stage


class UndoResponse(BaseModel):
    """The reopened item, first in line again; null when there is nothing to take back. A skip had no level."""

    undone: Item | None
    level: int | None
    worse: Side | None = None
    skipped: bool = False
    flagged: bool = False
    comment: str | None = None
    progress: Progress


class HistoryEntry(BaseModel):
    """An item that the annotator rated, or skipped (then ``level`` is null and ``reason`` says why)."""

    item: Item
    level: int | None
    worse: Side | None = None
    flagged: bool
    comment: str | None
    reason: str | None
    counted: bool
    created_at: str


class HistoryResponse(BaseModel):
    """The last items, newest first; a vote with ``corrects`` changes one of them."""

    items: list[HistoryEntry]


class DoneResponse(BaseModel):
    """The event is in the database."""

    accepted: bool = True
    duplicate: bool


class HeartbeatResponse(BaseModel):
    """Assignments whose lease still lives, and until when (ISO 8601, UTC); others went to somebody else."""

    assignment_ids: list[int]
    lease_expires_at: str


class SessionResponse(BaseModel):
    """Who is signed in, and what the page needs to start."""

    user: str
    role: Role
    csrf: str
    settings: dict[str, Any]
    progress: Progress
    options: dict[str, Any]
    stage: Stage


class User(BaseModel):
    """An account as an admin sees it."""

    name: str
    role: Role
    stage: Stage
    disabled: bool
    has_token: bool
    created_at: str


class ReviewVote(BaseModel):
    """One vote in the reviewer's queue; ``level`` of a pair: 1 the left one is worse, 2 same, 3 the right one."""

    annotator: str
    level: int
    created_at: str
    seconds: float | None
    flagged: bool
    comment: str | None


class ReviewItem(ShownToLead):
    """A triplet whose votes spread by two levels or more."""

    votes: list[ReviewVote]


class ReviewResponse(BaseModel):
    """The reviewer's queue, oldest item first."""

    items: list[ReviewItem]
    total: int
