"""What votes are worth: consensus, agreement, figures per annotator, statistics."""
