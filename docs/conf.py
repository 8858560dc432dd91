"""How Sphinx builds these pages: ``make docs``."""

import nncore

project = "nncore"
author = "the nncore authors"
project_copyright = "the nncore authors, BSD-3-Clause"
version = release = nncore.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
default_role = "py:obj"  # `name` in a docstring is a Python object
add_module_names = False

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say the types
napoleon_google_docstring = False
napoleon_use_ivar = True

html_theme = "alabaster"
html_title = "nncore"
html_theme_options = {
    "description": "Training of dense networks, compiled, and every number in it",
    "page_width": "1100px",
    "sidebar_width": "240px",
    "fixed_sidebar": True,
}
html_show_sourcelink = False
