"""What leaves the toolkit: export formats, and the figures of the data card."""
