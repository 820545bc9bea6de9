"""How Sphinx builds these pages: Markdown by myst-parser, furo's theme, every warning an error (`make check`)."""

from ponder import __version__

project = "ponder"
author = "the ponder developers"
copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
default_role = "literal"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_typehints = "signature"
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = "ponder"
html_copy_source = False
