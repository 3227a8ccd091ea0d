"""Sphinx configuration. Builds offline and without warnings: `make docs`."""

import os

import numopt

# The examples draw without a display.
os.environ.setdefault("MPLBACKEND", "agg")

project = "numopt"
author = "The numopt developers"
project_copyright = "2026, The numopt developers"
version = release = numopt.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_tables", "_templates", "gallery"]
root_doc = "index"
default_role = "code"

autosummary_generate = True
autodoc_typehints = "none"  # the numpydoc sections give the types, shapes included
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_",
    "abort_on_example_error": True,
    "show_memory": False,
    "write_computation_times": False,
    "remove_config_comments": True,
    "download_all_examples": False,
}

html_theme = "pydata_sphinx_theme"
html_title = f"numopt {release}"
html_static_path = ["_static"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {"benchmarks": [], "kernels": []}
