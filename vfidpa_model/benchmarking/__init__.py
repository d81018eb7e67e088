"""Interpolators and pipelines on benchmark sets: sets, official protocols, measurement, report."""
