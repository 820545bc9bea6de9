"""Run many questions through many methods, compare, and report."""
