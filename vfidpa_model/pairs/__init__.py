"""Labelled frame pairs: which rows, their labels, loading, augmentation, resizing."""
