"""One training: configuration, session, loop, losses, state on disk, log and report."""
