"""Shorter reasoning by asking for it."""
