"""The labelling bench: annotators compare a prediction with the truth in a browser and give a level 1 to 4."""
