"""Ending a thought before it ends by itself, or not letting it begin."""
