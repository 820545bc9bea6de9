"""Being here puts this folder on the path of every test: `from support.server import FakeServer`."""

from hypothesis import settings

# A busy machine is no failure: no test here asserts a wall time, and neither does hypothesis.
settings.register_profile("ponder", deadline=None)
settings.load_profile("ponder")
