"""Predicting middle frames and measuring them: which rows, the predictor, metrics, and proxy levels."""
