"""One table of what the labelling bench can be told: command line, page and tests read the defaults from here."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

DATABASE_NAME = "labels.sqlite"  # beside the manifest, unless another database is named
Order = Literal["random", "uncertain", "model"]
# Least and largest value of what has a range; the command line and the file of projects refuse others.
LIMITS: dict[str, tuple[float, float]] = {
    "overlap": (1, 100),
    "lease_seconds": (10, 86400),
    "gold_rate": (0, 0.5),
    "repeat_rate": (0, 0.5),
}


@dataclass(frozen=True)
class Settings:
    """How one server labels one manifest."""

    manifest: Path
    db_url: str | None = None  # None: SQLite beside the manifest
    # Where it listens, and who may come in.
    host: str = "127.0.0.1"
    port: int = 7860
    open_mode: bool = False  # a name is enough to sign in; localhost only
    header_auth: str | None = None  # request header in which a trusted reverse proxy names the user
    trusted_proxies: tuple[str, ...] = ()  # addresses whose headers are believed: who asks, and from where
    sign_out_url: str | None = None  # of the proxy that signs people in
    # Who labels what.
    overlap: int = 3  # votes wanted per triplet
    against: Path | None = None  # a second manifest: which of the two predictions is worse, in place of levels
    order: Order = "random"
    random_share: float = 0.25  # of --order uncertain and model: drawn at random, so that the set stays unbiased
    lease_seconds: float = 300.0
    seed: int = 0
    # Quality.
    blind: bool = False
    gold_rate: float = 0.05
    repeat_rate: float = 0.05
    qualification_retakes: int = 2  # how often a failed qualification may be taken again
    language: str = "en"
    root_path: str = ""  # where the pages lie on a server of several projects: "/NAME"

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the database; SQLite beside the manifest by default."""
        return self.db_url or f"sqlite:///{self.manifest.resolve().parent / DATABASE_NAME}"

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
