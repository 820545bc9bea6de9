"""Make a model think exactly as long as each question needs, and prove what that saved and what it cost.

The stable Python interface: `run` answers one problem, `solve` does so inside an event loop, and the names below are
the values that they take and give. Nothing heavy is imported until it is used.
"""

from __future__ import annotations

from ponder.api import Result, run, solve
from ponder.core.engine import Cap, Chunk, Engine, Logprob, Sampling, Think, Usage
from ponder.core.errors import DataError, EngineError, OptionError, PonderError, TapeMiss, Unsupported
from ponder.core.method import Method, Solution, check
from ponder.core.problem import Image, Message, Problem, Prompt, Text, Thinking, Tool, ToolCall
from ponder.core.run import Call, Run, Trace

__version__ = "0.1.0"

__all__ = [
    "Call",
    "Cap",
    "Chunk",
    "DataError",
    "Engine",
    "EngineError",
    "Image",
    "Logprob",
    "Message",
    "Method",
    "OptionError",
    "PonderError",
    "Problem",
    "Prompt",
    "Result",
    "Run",
    "Sampling",
    "Solution",
    "TapeMiss",
    "Text",
    "Think",
    "Thinking",
    "Tool",
    "ToolCall",
    "Trace",
    "Unsupported",
    "Usage",
    "check",
    "run",
    "solve",
]
