"""A transformers model in this process: batched decoding, prefixes read once, noise that depends on position alone."""
