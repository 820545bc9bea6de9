"""Replies that grow step by step, and fork where it looks worth it."""
