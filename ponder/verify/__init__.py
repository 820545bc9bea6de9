"""Is an answer right? Verifiers compare replies with references; a pool runs the slow ones apart, with a deadline."""

from ponder.verify.base import Base
from ponder.verify.number import Number

__all__ = ["Base", "Number"]
