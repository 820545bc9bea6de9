"""Several replies, one answer; and `sample`, the plain reply that all others are measured against."""
