"""Benchmarks by name: what is asked, and what the right answers are."""

from ponder.tasks.table import TASKS, load_task, task_names

__all__ = ["TASKS", "load_task", "task_names"]
