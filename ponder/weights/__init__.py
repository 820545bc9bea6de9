"""Checkpoints and adapters on disk, read and written as plain data: no model is built and no code of theirs runs."""
