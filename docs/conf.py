"""How Sphinx builds these pages: ``make docs``."""

import sys
from pathlib import Path

import nncore

sys.path.insert(0, str(Path(__file__).parent))  # for op_table.py and registry.py

project = "nncore"
author = "the nncore authors"
project_copyright = "the nncore authors, BSD-3-Clause"
version = release = nncore.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax", "sphinx.ext.viewcode", "op_table", "registry"]
exclude_patterns = ["_build"]
default_role = "py:obj"  # `name` in a docstring is a Python object
add_module_names = False

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings state the types
napoleon_google_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]
smartquotes = False  # σ'(z) is a derivative, not a quotation

html_theme = "alabaster"
html_title = "nncore"
html_theme_options = {
    "description": "Neural-network training you can look inside",
    "page_width": "1100px",
    "sidebar_width": "240px",
    "fixed_sidebar": True,
}
html_show_sourcelink = False


def escape_bars(app, what, name, obj, options, lines):
    """In formulas |x| is an absolute value, in reStructuredText a substitution: escape it, but not in code."""
    code = False
    for i, line in enumerate(lines):
        code = line.lstrip().startswith(">>>") or (code and bool(line.strip()))
        if not code:
            parts = line.split("``")
            lines[i] = "``".join(part if n % 2 else part.replace("|", r"\|") for n, part in enumerate(parts))


def setup(app):
    app.connect("autodoc-process-docstring", escape_bars)
