"""Is an answer right? Verifiers compare replies with references; a pool runs the slow ones apart, with a deadline."""

from ponder.verify.base import Base
from ponder.verify.boxed import Boxed
from ponder.verify.choice import Choice
from ponder.verify.exact import Exact
from ponder.verify.math import Math
from ponder.verify.number import Number
from ponder.verify.pool import VerifierPool
from ponder.verify.reasoning_gym import ReasoningGym
from ponder.verify.yes_no import YesNo

__all__ = ["Base", "Boxed", "Choice", "Exact", "Math", "Number", "ReasoningGym", "VerifierPool", "YesNo"]
