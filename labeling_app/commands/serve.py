"""The labelling bench: serve it, and take votes and figures out of it.

python -m labeling_app --manifest data_manifest.parquet
python -m labeling_app export --manifest data_manifest.parquet
"""

import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from sqlalchemy.exc import DBAPIError

from dataset_tools.common.cli import FAILED, new_app, program, run, say
from dataset_tools.errors import UsageError, VfiError
from dataset_tools.manifest import DEFAULT_NAME
from labeling_app.commands.data import add_commands
from labeling_app.commands.desk import add_desk_commands
from labeling_app.commands.users import users_app
from labeling_app.projects import read_projects
from labeling_app.settings import LIMITS, Settings

_PROG = "python -m labeling_app"
_DEFAULT = Settings(Path(DEFAULT_NAME))
_LANGUAGES = sorted(path.stem for path in (Path(__file__).parents[1] / "texts").glob("*.json"))

app = new_app()
app.add_typer(users_app, name="users")
add_commands(app)
add_desk_commands(app)


def _option(name: str, text: str) -> Any:
    """Return the option of a setting that has a range."""
    least, most = LIMITS[name]
    return typer.Option(min=least, max=most, help=text)


class ServeError(VfiError):
    """The server cannot start."""


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    manifest: Annotated[Path, typer.Option(help="Manifest whose triplets are labelled.")] = _DEFAULT.manifest,
    db: Annotated[
        str | None, typer.Option(help="Database URL: postgresql+psycopg://... for teams; SQLite beside the manifest.")
    ] = None,
    projects: Annotated[
        Path | None,
        typer.Option(help="YAML file of several projects, each with its manifest; each is served below its name."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; other than localhost needs accounts.")] = (
        _DEFAULT.host
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = _DEFAULT.port,
    open_mode: Annotated[
        bool, typer.Option("--open", help="A name is enough to sign in; for one trusted user on localhost.")
    ] = False,
    header_auth: Annotated[
        str | None, typer.Option(help="Header in which a trusted reverse proxy names the user, e.g. X-Forwarded-User.")
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None, typer.Option(help="Address or network of a proxy to be believed (repeatable).")
    ] = None,
    sign_out_url: Annotated[
        str | None, typer.Option(help="Where a proxy that signs people in signs them out, e.g. /oauth2/sign_out.")
    ] = None,
    overlap: Annotated[int, _option("overlap", "Votes wanted per triplet.")] = _DEFAULT.overlap,
    order: Annotated[
        Literal["random", "uncertain", "model"],
        typer.Option(help="Random and stratified, or first what is most worth a vote, or where a model errs."),
    ] = _DEFAULT.order,
    against: Annotated[
        Path | None,
        typer.Option(help="Paired comparison: a second manifest of the same triplets; which prediction is worse?"),
    ] = _DEFAULT.against,
    blind: Annotated[bool, typer.Option("--blind", help="Show the two images as A and B in random order.")] = False,
    gold_rate: Annotated[float, _option("gold_rate", "Share of hidden gold items.")] = _DEFAULT.gold_rate,
    repeat_rate: Annotated[float, _option("repeat_rate", "Share of hidden repeats.")] = _DEFAULT.repeat_rate,
    lease_seconds: Annotated[
        float, _option("lease_seconds", "How long an item is held for an annotator who is silent.")
    ] = _DEFAULT.lease_seconds,
    language: Annotated[str, typer.Option(help="Language of the page until an annotator chooses another.")] = (
        _DEFAULT.language
    ),
    seed: Annotated[int, typer.Option(help="Seed of the annotators' orders.")] = _DEFAULT.seed,
) -> None:
    """Serve the labelling page for a manifest; votes are kept in SQLite beside it, or in PostgreSQL.

    Without accounts the page asks for a name only and listens on localhost only. Add accounts with
    "python -m labeling_app users add NAME" before listening on another address.

    Example: python -m labeling_app --manifest demo/data_manifest.parquet --open
    Example: python -m labeling_app --projects projects.yaml
    """
    if context.invoked_subcommand is not None:
        return
    settings = Settings(
        manifest=manifest,
        db_url=db,
        host=host,
        port=port,
        open_mode=open_mode,
        header_auth=header_auth,
        trusted_proxies=tuple(trusted_proxy or _DEFAULT.trusted_proxies),
        sign_out_url=sign_out_url,
        overlap=overlap,
        order=order,
        against=against,
        blind=blind,
        gold_rate=gold_rate,
        repeat_rate=repeat_rate,
        lease_seconds=lease_seconds,
        language=language,
        seed=seed,
    )
    if projects is None:
        run_server(settings)
    elif manifest != _DEFAULT.manifest or db is not None or against is not None:
        raise UsageError(
            "--projects names manifests and databases in its file; leave out --manifest, --db and --against"
        )
    else:
        run_server(settings, read_projects(projects, settings))


def run_server(settings: Settings, projects: Mapping[str, Settings] | None = None) -> None:
    """Serve one manifest, or the given projects, until stopped; ``settings`` says where it listens.

    Raises:
        UsageError: As ``check_access``.
        ServeError: The address is in use or not ours.
    """
    checked = {name: check_access(one) for name, one in (projects or {"": settings}).items()}
    for one in checked.values():
        if one.order == "model" and not _has_scores(one.manifest):
            hint = f"python -m vfidpa_model.predict light --manifest {one.manifest}"
            say(f"--order model: {one.manifest} has no scores yet, so the order is random; {hint}", is_error=True)
    import uvicorn  # after the checks: wrong usage is told at once, the page takes seconds to load

    from labeling_app.web.app import create_app
    from labeling_app.web.projects import create_projects_app
    from labeling_app.web.server import server_config

    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listener = socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        reason = error.strerror or error
        raise ServeError(f"cannot listen on {settings.host}:{settings.port}: {reason}; try --port 0") from error
    with listener:
        # asyncio sets it only on sockets made with an explicit protocol; without it an answer's body waits 40 ms for
        # the acknowledgement of its headers. Accepted connections inherit it.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        application = create_projects_app(checked) if projects else create_app(checked[""])
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        for one in checked.values():
            how = "a name is enough to sign in" if one.open_mode else "sign in with an account"
            place = f"http://{host}:{listener.getsockname()[1]}{one.root_path}"
            print(f"labelling {one.manifest} on {place} ({how})", flush=True)
        with suppress(KeyboardInterrupt):  # Ctrl-C is how it ends; every vote is on disk already
            uvicorn.Server(server_config(application)).run(sockets=[listener])


def _has_scores(manifest: Path) -> bool:
    """Return whether a model's scores are in the manifest; they may also come while it is being served."""
    from dataset_tools.columns.file import open_manifest

    return any(piece.column("score").null_count < len(piece) for piece in open_manifest(manifest).batches(["score"]))


def check_access(settings: Settings) -> Settings:
    """Return the settings with open mode on where nobody has an account yet, after refusing what would be unsafe.

    Raises:
        UsageError: Listening beyond localhost in open mode, or without any account; an unknown language; options that
            exclude each other.
    """
    from labeling_app.accounts import num_with_password
    from labeling_app.database.store import Store, database_exists

    if settings.language not in _LANGUAGES:
        raise UsageError(f"language {settings.language!r} must be one of {', '.join(_LANGUAGES)}")
    if settings.against is not None and settings.blind:
        raise UsageError("--against and --blind exclude each other: a pair is shown in random order anyway")
    if settings.against is not None and settings.order == "model":
        raise UsageError("--order model needs levels: with --against take random or uncertain")
    if settings.header_auth is not None and not settings.trusted_proxies:
        raise UsageError("--header-auth needs --trusted-proxy ADDRESS: anybody on this machine could send that header")
    if settings.header_auth is not None and settings.open_mode:
        raise UsageError("--open and --header-auth exclude each other")
    if not settings.is_local and settings.open_mode:
        raise UsageError(f"--open is for localhost only, not for {settings.host}; add accounts instead")
    if settings.header_auth is not None or settings.open_mode:
        return settings
    if not settings.manifest.exists():
        raise UsageError(f"manifest {settings.manifest} does not exist; name it with --manifest")
    has_accounts = False
    if database_exists(settings.database_url):  # else nothing is made yet: the manifest may still turn out wrong
        store = Store(settings.database_url)
        try:
            with store.read() as connection:
                has_accounts = num_with_password(connection) > 0
        finally:
            store.close()
    if has_accounts:
        return settings
    if not settings.is_local:
        hint = "add one first: python -m labeling_app users add NAME --role admin"
        raise UsageError(f"listening on {settings.host} needs accounts; {hint}")
    return replace(settings, open_mode=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        return run(app, argv, prog=_PROG)
    except DBAPIError as error:  # a full disk, a server that went away: SQLAlchemy would add statement and values
        say(f"{program(_PROG)}: the database refused: {' '.join(str(error.orig).split())}", is_error=True)
        return FAILED
