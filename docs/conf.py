"""How Sphinx builds these pages: ``make docs``."""

import sys
from pathlib import Path

import nncore

sys.path.insert(0, str(Path(__file__).parent))  # for the extensions beside this file

from gallery import sphinx_gallery_conf  # noqa: F401

project = "nncore"
author = "the nncore authors"
project_copyright = "the nncore authors, BSD-3-Clause"
version = release = nncore.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    # of this folder
    "deck",
    "docstrings",
    "findable",
    "gallery",
    "links",
    "live",
    "offline",
    "op_table",
    "registry",
]
exclude_patterns = ["_build"]
default_role = "py:obj"  # `name` in a docstring is a Python object
add_module_names = False

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings state the types
napoleon_google_docstring = False
napoleon_use_param = False  # a joint entry, as "weight, bias", is printed once
napoleon_custom_sections = [("Attributes", "params_style")]
smartquotes = False  # σ'(z) is a derivative, not a quotation

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = "nncore"
html_static_path = ["_static"]
html_css_files = ["nncore.css"]
html_show_sourcelink = False
html_sidebars = {"index": []}
html_theme_options = {
    "logo": {"text": "nncore"},
    "header_links_before_dropdown": 6,
    "navigation_depth": 2,
    "show_toc_level": 2,
    "navigation_with_keys": True,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "tango",
    "pygments_dark_style": "monokai",
}
