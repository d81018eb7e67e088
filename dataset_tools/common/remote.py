"""Folders at a URL: S3 and what speaks like it, Google Cloud Storage. A file there is whole or absent."""

import errno
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from dataset_tools.common.stores import connect, reason
from dataset_tools.errors import ManifestError, UsageError, VfiError

SCHEMES = ("s3", "gs")
FRAMES_MARK = ".vfi-frames"  # in a local folder that holds the frames of manifests which lie elsewhere
MAX_BYTES = 1 << 28  # of a file that is read into memory: a PNG of 8192x8192 noise has 192 MiB
_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")


class RemoteError(VfiError):
    """A place at a URL cannot be used; one sentence says why."""


@dataclass(frozen=True)
class RemoteFolder:
    """A folder of an object store.

    Attributes:
        url: ``s3://BUCKET/PATH`` or ``gs://BUCKET/PATH``, without a slash at its end.
    """

    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, relative: str | PurePosixPath) -> "RemoteFile":
        """Return a file by its path inside; where that is not to be trusted, ``files.inside`` checks it first."""
        return RemoteFile(self, str(relative))

    def absolute(self) -> "RemoteFolder":
        """Return the folder itself: a URL means the same everywhere."""
        return self

    def resolve(self) -> "RemoteFolder":
        """Return the folder itself."""
        return self

    def names(self, folder: str) -> set[str]:
        """Return the names of the files right in a folder inside; none when it is not there.

        Raises:
            RemoteError: The store does not answer, or refuses.
        """
        from pyarrow import fs

        selector = fs.FileSelector(f"{_key(self.url)}/{folder}".rstrip("/"), allow_not_found=True)
        try:
            found = connect(self.url).get_file_info(selector)
        except OSError as error:
            raise RemoteError(f"cannot list {self.url}: {reason(error)}") from error
        return {item.base_name for item in found if item.type == fs.FileType.File}

    def check(self) -> None:
        """Find out at once whether the folder can be reached: else each of a million files would be a fault.

        Raises:
            RemoteError: The bucket is not there, access is denied, or nobody answers.
        """
        from pyarrow import fs

        bucket = _key(self.url).partition("/")[0]
        try:
            if connect(self.url).get_file_info(bucket).type == fs.FileType.NotFound:
                raise RemoteError(f"cannot use {self.url}: there is no such bucket")
        except OSError as error:
            raise RemoteError(f"cannot use {self.url}: {reason(error)}") from error


@dataclass(frozen=True)
class RemoteFile:
    """A file of an object store; the methods are those of ``Path``.

    Attributes:
        folder: That it is looked for in.
        name: Its path inside, with ``/``.
    """

    folder: RemoteFolder
    name: str

    def __str__(self) -> str:
        return f"{self.folder.url}/{self.name}"

    @property
    def suffix(self) -> str:
        """The end of the name, with its dot."""
        return PurePosixPath(self.name).suffix

    def read_bytes(self) -> bytes:
        """Return the content.

        Raises:
            FileNotFoundError: There is no such file.
            OSError: It cannot be read, or is larger than any picture; its text is a clause.
        """
        try:
            with connect(self.folder.url).open_input_file(self._key) as file:
                if file.size() > MAX_BYTES:
                    raise OSError(f"{file.size()} bytes must be at most {MAX_BYTES}")
                return bytes(file.read())
        except FileNotFoundError:
            raise
        except OSError as error:
            raise OSError(reason(error)) from error

    def write_bytes(self, data: bytes) -> None:
        """Write the content; the file is there when all of it is.

        Raises:
            OSError: The store refuses, or cannot be reached; its text is a clause.
        """
        kind = {"Content-Type": _TYPES.get(self.suffix.lower(), "application/octet-stream")}
        try:
            with connect(self.folder.url).open_output_stream(self._key, metadata=kind) as file:
                file.write(data)
        except OSError as error:
            raise OSError(reason(error)) from error

    def exists(self) -> bool:
        """Return whether there is such a file.

        Raises:
            RemoteError: The store does not answer, or refuses.
        """
        return self.info() is not None

    def size(self) -> int:
        """Return the number of bytes.

        Raises:
            FileNotFoundError: There is no such file.
        """
        found = self.info()
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(self))
        return int(found.size)

    def info(self) -> Any:
        """Return ``pyarrow.fs.FileInfo`` of the file; ``None`` when there is none.

        Raises:
            RemoteError: The store does not answer, or refuses.
        """
        from pyarrow import fs

        try:
            found = connect(self.folder.url).get_file_info(self._key)
        except OSError as error:
            raise RemoteError(f"cannot look for {self}: {reason(error)}") from error
        return found if found.type == fs.FileType.File else None

    @property
    def _key(self) -> str:
        return f"{_key(self.folder.url)}/{self.name}"


Folder = Path | RemoteFolder
File = Path | RemoteFile


def parse_folder(text: str) -> Folder:
    """Return the folder that a URL or an absolute path means: ``s3://BUCKET/PATH``, ``gs://...``, ``file:///PATH``.

    A manifest from anybody may say it. So it names a place and nothing else: keys, servers and regions come from the
    environment of the person who reads it (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, ...).

    Raises:
        ManifestError: It is neither, or says more than a place.
    """
    url = urlsplit(text)
    if url.scheme in SCHEMES:
        path = url.path.rstrip("/")
        parts = path.split("/")[1:]
        more = url.query or url.fragment or url.username is not None or url.password is not None
        if more or not _BUCKET.fullmatch(url.netloc):
            raise ManifestError(
                f"frames root {_without_keys(text)} must be {url.scheme}://BUCKET/PATH and no more: give keys and "
                "servers by the environment, such as AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL"
            )
        if any(part in ("", ".", "..") for part in parts) or "\\" in path or "\0" in path:
            raise ManifestError(f"frames root {text!r} must have no empty part, '.' or '..' in its path")
        return RemoteFolder(f"{url.scheme}://{url.netloc}{path}")
    local = unquote(url.path) if url.scheme == "file" and url.netloc in ("", "localhost") else text
    if not os.path.isabs(local) or "\0" in local:
        raise ManifestError(
            f"frames root {_without_keys(text)} must be s3://BUCKET/PATH, gs://BUCKET/PATH or an absolute folder"
        )
    return Path(local)


def parse_place(text: str) -> Folder:
    """Return the folder that a person means: any path, or a URL as of ``parse_folder``.

    Raises:
        UsageError: The URL is of another kind, or says more than a place.
    """
    try:
        return parse_folder(text) if "://" in text else Path(text)
    except ManifestError as error:
        raise UsageError(str(error)) from error


def reachable(folder: Folder) -> Folder:
    """Return the folder, after a look whether it can be reached where it lies at a URL.

    Raises:
        RemoteError: It cannot.
    """
    if isinstance(folder, RemoteFolder):
        folder.check()
    return folder


def mark_frames(folder: Folder) -> None:
    """Note in a local folder that frames are put there, which is what ``marked_frames`` asks for."""
    if isinstance(folder, Path) and not (folder / FRAMES_MARK).exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FRAMES_MARK).write_text("Image files of manifests that lie elsewhere and name this folder.\n")


def marked_frames(folder: Folder) -> Folder:
    """Return a folder that a manifest names as its frames' place, after a look whether it may.

    A manifest may come from anybody. Without a mark in the folder it could name somebody's pictures, which commands
    would then read, hand on and write over.

    Raises:
        ManifestError: It is local and has no mark.
        RemoteError: It is at a URL that cannot be reached.
    """
    if isinstance(folder, Path) and not (folder / FRAMES_MARK).is_file():
        raise ManifestError(
            f"the manifest says that its frames are in {folder}, where {FRAMES_MARK} does not mark a place of frames: "
            "mount it, or, if you trust the manifest with that folder, make an empty file of that name in it"
        )
    return reachable(folder)


def parse_file(text: str) -> File:
    """Return the file that text means: a path, or ``s3://BUCKET/PATH`` as ``str`` of a ``RemoteFile`` gives it."""
    if not text.startswith(tuple(f"{scheme}://" for scheme in SCHEMES)):
        return Path(text)
    bucket, _, name = _key(text).partition("/")
    return RemoteFile(RemoteFolder(f"{text.partition('://')[0]}://{bucket}"), name)


def stamp(file: File) -> tuple[str, int, int]:
    """Return what tells a file from another, or from what it was before: name, size in bytes, time of its change in ns.

    Raises:
        OSError: There is no such file.
    """
    if isinstance(file, Path):
        return str(file), file.stat().st_size, file.stat().st_mtime_ns
    return str(file), file.size(), file.info().mtime_ns


def _without_keys(text: str) -> str:
    return re.sub(r"//[^/@]*@", "//...@", text)


def _key(url: str) -> str:
    return url.partition("://")[2]
