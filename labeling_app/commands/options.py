"""Options that the commands beside the server share, and what they open with them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataset_tools.errors import UsageError
from dataset_tools.manifest import DEFAULT_NAME
from labeling_app.database.store import Store
from labeling_app.settings import Settings

if TYPE_CHECKING:
    from labeling_app.annotation.state import ServerState

ManifestOption = Annotated[Path, typer.Option("--manifest", help="Manifest beside which the database lies.")]
Db = Annotated[str | None, typer.Option("--db", help="Database URL, if it is not SQLite beside the manifest.")]
DEFAULT_MANIFEST = Path(DEFAULT_NAME)


def open_store(manifest: Path, db: str | None, *, create: bool = False) -> Store:
    """Return the database of a manifest, or the one named."""
    if db is None and not manifest.exists():
        raise UsageError(f"manifest {manifest} does not exist; name it with --manifest, or the database with --db")
    return Store(Settings(manifest, db_url=db).database_url, create=create)


def open_beside(manifest: Path, db: str | None) -> "ServerState":
    """Return what a server on this manifest works with, its items in step with the manifest; it may go on serving."""
    from labeling_app.annotation.state import open_state  # takes half a second

    return open_state(Settings(manifest, db_url=db), serving=False)
