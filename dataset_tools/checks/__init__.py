"""Is a data set whole, readable and free of leaks: rows, pixels and predictions against what they claim."""
