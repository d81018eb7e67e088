"""Files that are whole or absent: atomic writing, hashing, and paths that stay in their folder."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, overload

from dataset_tools.common.remote import File, Folder, RemoteFile, RemoteFolder
from dataset_tools.errors import ManifestError

_CHUNK_BYTES = 1 << 20


@contextmanager
def atomic_writer(path: Path, *, is_synced: bool = True) -> Iterator[BinaryIO]:
    """Yield a binary file that appears as ``path`` only when the block ends without an error.

    The data goes to a temporary file in the same folder, is synced to disk, then renamed; the folder is synced too,
    so that the new name survives a power cut. On an error nothing is left behind. Who writes many files at once does
    that by ``batches``.

    Args:
        is_synced: Sync the folder. Who writes one file after the other does that at the end, by ``sync_folder``.

    Raises:
        OSError: The folder cannot be written to, or the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:60]}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, readable_mode())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    if is_synced:
        sync_folder(path.parent)


def write_bytes(path: Path, data: bytes, *, is_synced: bool = True) -> None:
    """Write ``data`` to ``path`` atomically; see ``atomic_writer``."""
    with atomic_writer(path, is_synced=is_synced) as file:
        file.write(data)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` to ``path`` atomically, as sorted, indented JSON with a final newline."""
    write_bytes(path, (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode())


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as 64 hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@overload
def inside(root: Path, relative: str) -> Path: ...
@overload
def inside(root: RemoteFolder, relative: str) -> RemoteFile: ...
def inside(root: Folder, relative: str) -> File:
    """Return ``root / relative`` after checking that it cannot leave ``root``, not even through a link.

    Args:
        relative: POSIX path from an untrusted source (a manifest, a list file, a checkpoint).

    Raises:
        ManifestError: The path is empty, absolute, holds ``..`` or a backslash, or resolves outside ``root``.
    """
    bad = not relative or relative.startswith("/") or "\x00" in relative or "\\" in relative
    if bad or ".." in relative.split("/"):
        raise ManifestError(f"path {relative!r} must stay inside {root}")
    if isinstance(root, RemoteFolder):
        return root / str(PurePosixPath(relative))
    top = os.path.realpath(root)
    path = os.path.join(top, relative)
    if _leads_outside(path, top):
        parts = PurePosixPath(relative).parts
        steps = [os.path.join(top, *parts[: number + 1]) for number in range(len(parts))]
        link = next((step for step in steps if os.path.islink(step)), path)
        to = f": {os.path.relpath(link, top)} is a link to {os.readlink(link)}" if os.path.islink(link) else ""
        raise ManifestError(f"path {relative!r} must stay inside {root}{to}; copy what it leads to, or mount it there")
    return root / PurePosixPath(relative)


def _leads_outside(path: str, top: str) -> bool:
    # Unlike Path.resolve, realpath does not raise where links go round in circles.
    return not _is_below(os.path.realpath(path), top)


def _is_below(path: str, top: str) -> bool:
    return path == top or path.startswith(os.path.join(top, ""))


_MAX_DEPTH = 50


class FolderContents:
    """Tells whether files are there; each folder is looked at once, which counts where it lies on a network."""

    def __init__(self, root: Folder) -> None:
        self._root = root
        self._top = os.path.realpath(root) if isinstance(root, Path) else ""
        self._parents = {"": self._top}  # folders that hold folders, and where links in their paths lead
        self._names: dict[str, set[str]] = {}

    def has(self, relative: str) -> bool:
        """Return whether there is a file at a path relative to the root, as of the first look.

        What a link puts outside the root is not there.
        """
        folder, _, name = relative.rpartition("/")
        names = self._names.get(folder)
        if names is None:
            root = self._root
            names = self._names[folder] = root.names(folder) if isinstance(root, RemoteFolder) else self._list(folder)
        return name in names

    def _list(self, relative: str) -> set[str]:
        folder = self._real(relative)
        if not _is_below(folder, self._top):
            return set()
        try:
            with os.scandir(folder) as entries:
                return {entry.name for entry in entries if self._is_own_file(entry)}
        except OSError:
            return set()

    def _is_own_file(self, entry: os.DirEntry[str]) -> bool:
        try:
            return entry.is_file() and not (entry.is_symlink() and _leads_outside(entry.path, self._top))
        except OSError:  # a link in a circle says nothing of the files beside it
            return False

    def _real(self, relative: str) -> str:
        """Return ``os.path.realpath`` of a folder, which looks at every part of the path: here at the last one only."""
        parent, _, name = relative.rpartition("/")
        if name in ("", ".", "..") or relative.count("/") > _MAX_DEPTH:  # a hostile manifest's path may be of any depth
            return os.path.realpath(os.path.join(self._top, relative))
        if parent not in self._parents:
            self._parents[parent] = self._real(parent)
        path = os.path.join(self._parents[parent], name)
        return os.path.realpath(path) if os.path.islink(path) else path


_UMASK = os.umask(0)  # it can only be read by setting it: not while other threads make files and folders
os.umask(_UMASK)


def readable_mode() -> int:
    """Return the access mode of new files by this process' umask: ``mkstemp`` gives 0600, a data set is to be read."""
    return 0o666 & ~_UMASK


def try_lock(descriptor: int) -> bool:
    """Lock an open file or folder until it is closed, and return whether no other process holds the lock."""
    try:
        import fcntl
    except ImportError:  # Windows: two runs at once are the user's to avoid
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a network folder without locks
        return True
    return True


def sync_folder(folder: Path) -> None:
    """Let the names in a folder survive a power cut (POSIX only)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
