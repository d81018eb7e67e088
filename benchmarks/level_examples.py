"""Cut the pictures that explain the levels out of data sets: python -m benchmarks.level_examples DATA...

One data set per clip, both clips from the demo set (``python -m dataset_tools.assets``), each alone in a folder:

    python -m dataset_tools.extract --source videos:BUNNY --out bunny --count 36 --resolutions 720p --seed 3
    python -m dataset_tools.extract --source videos:CITY --out city --count 40 --resolutions 256p --seed 3
    python -m benchmarks.level_examples bunny city

BUNNY holds bigbuckbunny.mp4 ((c) Blender Foundation, CC-BY 3.0: frames may be handed on), CITY holds cityCC0.mpg (CC0).
Three cuts of each level, 200x150 pixels at 1:1 with a fault that a person has looked at; lossless WebP.
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
BUNNY, CITY = "bigbuckbunny.mp4", "cityCC0.mpg"
CUTS = {  # (level, number) -> clip, frames of the triplet, middle of the cut (x, y)
    (1, 1): (BUNNY, "98-99-100", 460, 101),
    (1, 2): (BUNNY, "73-75-77", 745, 296),
    (1, 3): (CITY, "179-180-181", 260, 100),
    (2, 1): (BUNNY, "54-56-58", 333, 85),
    (2, 2): (BUNNY, "62-66-70", 172, 135),
    (2, 3): (CITY, "116-117-118", 150, 150),
    (3, 1): (BUNNY, "63-70-77", 184, 125),
    (3, 2): (BUNNY, "44-47-50", 337, 141),
    (3, 3): (CITY, "154-169-184", 110, 181),
    (4, 1): (BUNNY, "7-10-13", 477, 364),
    (4, 2): (BUNNY, "97-102-107", 201, 220),
    (4, 3): (CITY, "27-43-59", 100, 110),
}


def main() -> None:
    """Write the pictures into the viewer's folder, or another one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="+", help="folders of the data sets")
    parser.add_argument("--out", type=Path, default=VIEWER / "examples")
    options = parser.parse_args()
    found = {}
    for manifest in map(read_manifest, options.data):
        for row in manifest.rows():
            found[row["clip"], row["triplet_id"].split("/")[-1].partition("@")[0]] = (manifest, row)
    for (level, number), (clip, frames, x, y) in CUTS.items():
        manifest, row = found[clip, frames]
        for kind, column in {"real": "gt", "made": "pred"}.items():
            left, top = x - WIDTH // 2, y - HEIGHT // 2
            picture = read_image(manifest.file(row, column))[top : top + HEIGHT, left : left + WIDTH]
            coded, data = cv2.imencode(".webp", picture[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, LOSSLESS])
            assert coded
            write_bytes(options.out / f"level-{level}-{number}-{kind}.webp", data.tobytes())


if __name__ == "__main__":
    main()
