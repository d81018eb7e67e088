"""Cut the pictures that explain the levels out of a data set: python -m benchmarks.level_examples DATA

DATA is made from the demo clip Big Buck Bunny ((c) Blender Foundation, CC-BY 3.0: frames may be handed on), alone in
FOLDER:

    python -m dataset_tools.extract --source videos:FOLDER --out DATA --count 36 --resolutions 720p --seed 3

Two cuts of each level, 200x150 pixels at 1:1 around a fault that a person has looked at; lossless WebP.
"""

import argparse
from pathlib import Path

import cv2

from dataset_tools.common.files import write_bytes
from dataset_tools.frames import read_image
from dataset_tools.manifest import read_manifest
from labeling_app.web.page import VIEWER

WIDTH, HEIGHT = 200, 150
LOSSLESS = 101  # OpenCV: a WebP quality above 100
CUTS = {  # (level, number) -> frames of the triplet, place of the fault (x, y)
    (1, 1): ("98-99-100", 460, 101),
    (1, 2): ("73-75-77", 745, 296),
    (2, 1): ("54-56-58", 333, 85),
    (2, 2): ("62-66-70", 172, 135),
    (3, 1): ("63-70-77", 184, 125),
    (3, 2): ("44-47-50", 337, 141),
    (4, 1): ("7-10-13", 477, 364),
    (4, 2): ("97-102-107", 201, 220),
}


def main() -> None:
    """Write the pictures into the viewer's folder, or another one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of the data set")
    parser.add_argument("--out", type=Path, default=VIEWER / "examples")
    options = parser.parse_args()
    manifest = read_manifest(options.data)
    rows = {row["triplet_id"].split("/")[-1].partition("@")[0]: row for row in manifest.rows()}
    for (level, number), (frames, x, y) in CUTS.items():
        for kind, column in {"real": "gt", "made": "pred"}.items():
            left, top = x - WIDTH // 2, y - HEIGHT // 2
            picture = read_image(manifest.file(rows[frames], column))[top : top + HEIGHT, left : left + WIDTH]
            coded, data = cv2.imencode(".webp", picture[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, LOSSLESS])
            assert coded
            write_bytes(options.out / f"level-{level}-{number}-{kind}.webp", data.tobytes())


if __name__ == "__main__":
    main()
