"""What is in a data set: python examples/read_manifest.py data_manifest.parquet"""

import sys
from pathlib import Path

from dataset_tools.manifest import read_manifest


def main(path: str) -> None:
    """Print how many rows there are of each tier, and the triplets that were hardest to predict."""
    manifest = read_manifest(Path(path))
    frame = manifest.to_pandas()
    print(f"{len(frame)} rows from {frame['clip'].nunique()} clips")
    print(frame.groupby("resolution", observed=True)["triplet_id"].count().to_string(header=False))

    predicted = frame.dropna(subset=["pred_lpips"])
    for row in predicted.nlargest(3, "pred_lpips").to_dict("records"):
        print(f"{row['triplet_id']}: LPIPS {row['pred_lpips']:.3f}, motion {row['motion']:.1f} pixels")
        print(f"    {manifest.file(row, 'gt')}  beside  {manifest.file(row, 'pred')}")


if __name__ == "__main__":
    main(sys.argv[1])
