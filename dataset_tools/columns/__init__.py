"""A manifest as columns: opened lazily, asked by SQL, rewritten as a stream; never all rows as Python objects."""
