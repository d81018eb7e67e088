"""Ground floor: clips to triplets, predictions, metrics and the manifest that holds them."""

__version__ = "0.1.0"
