"""Deciding how a question is answered before it is answered."""
