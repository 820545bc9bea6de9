"""Replies that are steered while they are written: watched, closed, continued, and kept clean of thinking."""
