"""An annotator's work: who gets which item, leases, votes, gold checks, quotas, review, progress."""
