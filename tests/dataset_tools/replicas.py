"""Small copies of Vimeo90K and Adobe240 in exactly their official layout, and short clips, from real video."""

import shutil
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av

from dataset_tools.frames import Rgb, write_image

VIMEO_SIZE = (448, 256)
ADOBE_FILES = ("720p_240fps_1.mov", "IMG_0015.mov", "IMG_0183.MOV", "GOPR9635.mp4", "IMG_0200.MP4", "IMG_0179.m4v")
ADOBE_FOLDER = "original_high_fps_videos"


def read_frames(path: Path, *, start: int = 0, count: int | None = None) -> list[Rgb]:
    """Return frames of a clip by plain forward decoding with PyAV: the truth that extraction is held against."""
    frames: list[Rgb] = []
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if count is not None and number >= start + count:
                break
            if number >= start:
                frames.append(frame.to_ndarray(format="rgb24"))
    return frames


def write_video(path: Path, frames: Sequence[Rgb], *, fps: int = 25) -> Path:
    """Write frames as H.264 with B-frames (every camera's format) into the container the extension names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    container_format = {".m4v": "mp4", ".mov": "mov"}.get(path.suffix.lower(), "mp4")
    with av.open(str(path), "w", format=container_format) as container:
        stream = container.add_stream(
            "libx264", rate=Fraction(fps), options={"preset": "ultrafast", "bf": "2", "qp": "18"}
        )
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def make_short_clips(folder: Path, demo_clips: Path) -> Path:
    """Write three short clips: two of 272 lines, one of them in a subfolder, and one of 720 lines."""
    bikes, bunny = demo_clips / "bikes.mp4", demo_clips / "bigbuckbunny.mp4"
    write_video(folder / "street.mp4", read_frames(bikes, start=0, count=24))
    write_video(folder / "day 2" / "street.mkv.mp4", read_frames(bikes, start=80, count=30))
    write_video(folder / "bunny.mov", read_frames(bunny, start=57, count=30))
    return folder


def make_vimeo_triplet(root: Path, frames: Sequence[Rgb]) -> Path:
    """Write ``vimeo_triplet``: three training clips, two test clips, the test list's empty last line included."""
    folder = root / "vimeo_triplet"
    _write_sequences(
        folder / "sequences", ["00001/0001", "00001/0002", "00002/0001", "00001/0389", "00078/0651"], frames, 3
    )
    (folder / "readme.txt").write_text("Vimeo90K triplet set\n")
    (folder / "tri_trainlist.txt").write_text("00001/0001\n00001/0002\n00002/0001\n")
    (folder / "tri_testlist.txt").write_text("00001/0389\n00078/0651\n\n")
    return folder


def make_vimeo_test_archive(root: Path, frames: Sequence[Rgb]) -> Path:
    """Write ``vimeo_interp_test``, the test-only archive: ``target`` with, and ``input`` without, the middle frame."""
    folder = root / "vimeo_interp_test"
    _write_sequences(folder / "target", ["00001/0389", "00078/0651"], frames[9:], 3)
    shutil.copytree(folder / "target", folder / "input", ignore=shutil.ignore_patterns("im2.png"))
    (folder / "tri_testlist.txt").write_text("00001/0389\n00078/0651\n\n")
    return folder


def make_vimeo_septuplet(root: Path, frames: Sequence[Rgb]) -> Path:
    """Write ``vimeo_septuplet``: two training clips and one test clip; the test list has no empty line."""
    folder = root / "vimeo_septuplet"
    _write_sequences(folder / "sequences", ["00001/0001", "00002/0003", "00001/0266"], frames, 7)
    (folder / "sep_trainlist.txt").write_text("00001/0001\n00002/0003\n")
    (folder / "sep_testlist.txt").write_text("00001/0266\n")
    return folder


def make_adobe240(root: Path, frames: Sequence[Rgb]) -> Path:
    """Write the archive's folder of original videos: all five spellings of the extensions."""
    folder = root / "DeepVideoDeblurring_Dataset_Original_High_FPS_Videos"
    for number, name in enumerate(ADOBE_FILES):
        write_video(folder / ADOBE_FOLDER / name, frames[2 * number : 2 * number + 9], fps=240)
    return folder


def vimeo_crop(frame: Rgb) -> Rgb:
    """Return the part of a frame that has Vimeo90K's size."""
    return frame[: VIMEO_SIZE[1], : VIMEO_SIZE[0]]


def _write_sequences(folder: Path, entries: Sequence[str], frames: Sequence[Rgb], length: int) -> None:
    for number, entry in enumerate(entries):
        for position in range(length):
            write_image(folder / entry / f"im{position + 1}.png", vimeo_crop(frames[number * length + position]))
