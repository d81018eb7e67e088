"""The lead's desk: find items and votes, set votes aside, ask again, decide, and see when the project will be done."""
