"""A video file in, a smoother one out: decoding, frames between frames, encoding, pieces that survive a kill."""
