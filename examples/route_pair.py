"""Decide about one frame pair, and make its middle frame: python examples/route_pair.py img0.png img1.png middle.png"""

import sys
from pathlib import Path

from dataset_tools.frames import read_image, to_rgb, to_tensor, write_image
from dataset_tools.interpolators import create_interpolator
from vfidpa_model.routing.dynamic import DynamicInterpolator
from vfidpa_model.routing.routers import FlowMagnitude


def main(first: str, second: str, out: str) -> None:
    """Send the pair to the fast or to the accurate interpolator, and say which and why.

    FlowMagnitude needs no training; ``vfidpa_model.load_checkpoint(RUN)`` in its place is VFI-DPA, whose threshold is
    on the level scale (2.5).
    """
    img0, img1 = (to_tensor(read_image(Path(path))) for path in (first, second))
    pipeline = DynamicInterpolator(
        FlowMagnitude(), create_interpolator("rife"), create_interpolator("rife-refined"), threshold=3.0
    )
    middle = pipeline.interpolate(img0, img1)
    print(pipeline.decisions[-1])  # the score: mean motion in pixels at 256 rows; None across a cut
    write_image(Path(out), to_rgb(middle[0]))


if __name__ == "__main__":
    main(*sys.argv[1:])
