"""Builders of training data: what a model writes on questions whose answer is known, turned into examples."""
