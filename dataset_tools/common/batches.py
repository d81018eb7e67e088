"""Many files written at the cost of one sync: aside first, then all of them safe on disk, then under their names."""

import ctypes
import os
import platform
import re
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from dataset_tools.common.files import readable_mode, sync_folder

_SYNCFS_TELLS = (5, 8)  # Linux before that does not say when what it wrote back was lost
# Overlays do not say it for all files at once, and servers behind FUSE are told to keep a file only by its own fsync.
_TELLING = {0xEF53: "ext4", 0x58465342: "XFS", 0x9123683E: "Btrfs"}  # f_type of statfs(2)
_STATFS_BYTES = 256  # more than it has anywhere; f_type comes first
_descriptors: dict[int, int | None] = {}  # by device, of a folder on it: see _descriptor
_opening = threading.Lock()


def write_aside(path: Path, data: bytes) -> Path:
    """Write ``data`` to a temporary file beside ``path`` and return that; ``publish`` gives it its name.

    Raises:
        OSError: The folder cannot be written to, or the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _descriptor(path.parent)  # before anything is written that may be lost
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:60]}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.chmod(name, readable_mode())
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def publish(files: Sequence[tuple[Path, Path]]) -> None:
    """Give files written aside their names, after their data is safe on disk: at no moment is a named file half.

    Args:
        files: (temporary file, its path), on one file system.

    Raises:
        OSError: They cannot be synced or renamed; those that have no name yet stay where they are.
    """
    if not files:
        return
    _sync([aside for aside, _ in files])
    for aside, path in files:
        os.replace(aside, path)
    for folder in {path.parent for _, path in files}:
        sync_folder(folder)


def _sync(files: Sequence[Path]) -> None:
    if _sync_file_system(files[0].parent):
        return
    for path in files:
        descriptor = os.open(path, os.O_RDWR)  # Windows syncs only what may be written
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sync_file_system(folder: Path) -> bool:
    """Sync all that waits to be written where ``folder`` lies, and return whether that was possible (Linux).

    One such call takes a quarter of the time of a call for each file, each of which is a journal entry of its own.
    """
    descriptor = _descriptor(folder)
    if descriptor is None:
        return False
    if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(folder))
    return True


def _descriptor(folder: Path) -> int | None:
    """Return the descriptor that tells what was lost where ``folder`` lies; ``None`` where it is told file by file.

    It stays open: one opened later would not hear of a loss that another process has been told of already.
    """
    release = re.match(r"(\d+)\.(\d+)", platform.release())
    if platform.system() != "Linux" or release is None or tuple(map(int, release.groups())) < _SYNCFS_TELLS:
        return None
    device = os.stat(folder).st_dev
    with _opening:
        if device not in _descriptors:
            opened = os.open(folder, os.O_RDONLY)
            is_telling = _tells(opened)
            if not is_telling:
                os.close(opened)
            _descriptors[device] = opened if is_telling else None
        return _descriptors[device]


def _tells(descriptor: int) -> bool:
    library = ctypes.CDLL(None)
    kind = (ctypes.c_long * (_STATFS_BYTES // ctypes.sizeof(ctypes.c_long)))()
    return hasattr(library, "syncfs") and library.fstatfs(descriptor, kind) == 0 and kind[0] & 0xFFFFFFFF in _TELLING
