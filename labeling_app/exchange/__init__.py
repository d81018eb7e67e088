"""Votes on their way out and in: the manifest, tables, Label Studio."""
