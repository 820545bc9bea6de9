"""Being here puts this folder on the path of every test: `from support.server import FakeServer`."""
