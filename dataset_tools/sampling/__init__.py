"""Which triplets, how many of each clip, and which split: pure arithmetic and draws."""
