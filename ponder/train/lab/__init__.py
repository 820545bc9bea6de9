"""Questions without end whose shortest sufficient chain of thought is known, and thoughts that overdo it."""
