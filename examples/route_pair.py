"""Decide about one frame pair, and make its middle frame: python examples/route_pair.py img0.png img1.png middle.png"""

import sys
from pathlib import Path

from dataset_tools.frames import read_image, to_rgb, to_tensor, write_image
from dataset_tools.interpolators import create_interpolator
from dataset_tools.levels import HARD_ABOVE
from vfidpa_model import load_assessor
from vfidpa_model.routing.dynamic import DynamicInterpolator


def main(first: str, second: str, out: str) -> None:
    """Send the pair to the fast or to the accurate interpolator, and say which and why.

    ``load_assessor`` also takes a training run; ``CascadeInterpolator(fast, accurate)`` in the place of the pipeline
    decides on parts of the frame, without a model.
    """
    img0, img1 = (to_tensor(read_image(Path(path))) for path in (first, second))
    pipeline = DynamicInterpolator(
        load_assessor("light"), create_interpolator("rife"), create_interpolator("rife-refined"), threshold=HARD_ABOVE
    )
    middle = pipeline.interpolate(img0, img1)
    print(pipeline.decisions[-1])  # the score is on the level scale, 1 easy to 4 failed; None across a cut
    write_image(Path(out), to_rgb(middle[0]))


if __name__ == "__main__":
    main(*sys.argv[1:])
