"""Is a data set whole, readable and free of leaks: rows, pixels and predictions, each checked against what they claim."""
