"""Being here puts this folder on the path of every test: `from support.server import FakeServer`."""

import os

# As for the commands: the small products of routers must not wait for each other's threads on a busy machine.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from hypothesis import settings

# A busy machine is no failure: no test here asserts a wall time, and neither does hypothesis.
settings.register_profile("ponder", deadline=None)
settings.load_profile("ponder")
