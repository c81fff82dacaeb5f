"""Sphinx settings: pages in reStructuredText, docstrings by numpydoc, executed examples by sphinx-gallery."""

import importlib.metadata
import importlib.util
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "lina"
author = "The lina developers"
project_copyright = author
release = version = importlib.metadata.version("lina-array")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "lina_docs",
]
exclude_patterns = ["_build", "gallery_src"]
default_role = "py:obj"
nitpicky = True  # a name in single backticks is a link

autodoc_typehints = "none"  # numpydoc states the types
autodoc_preserve_defaults = True  # xp=np, not where numpy is installed
autodoc_member_order = "bysource"
autodoc_mock_imports = [] if importlib.util.find_spec("torch") else ["torch"]
autosummary_generate = False  # one page per room, no page per function
numpydoc_show_class_members = False

_ROOMS = ("linalg", "simplex", "hippo", "ssm", "rope", "diffusion", "torch", "sklearn")
sphinx_gallery_conf = {
    "examples_dirs": ["gallery_src"],
    "gallery_dirs": ["gallery"],
    "subsection_order": [f"gallery_src/{room}" for room in _ROOMS],
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
    "plot_gallery": True,
}

html_theme = "pydata_sphinx_theme"
html_title = f"lina {release}"
html_static_path = ["_static"]
html_css_files = ["lina.css"]
html_math_renderer = "mathml"
html_show_sourcelink = False
html_domain_indices = False
toc_object_entries_show_parents = "hide"
_WITHOUT_SIDEBAR = (
    "index",
    "quickstart",
    "call_from",
    "coming_from",
    "jax",
    "dask",
    "distributed",
    "length_extrapolation",
    "diffusion",
    "conventions",
    "promises",
    "performance",
    "architecture",
    "benchmarks",
)
html_sidebars: dict[str, list[str]] = {page: [] for page in _WITHOUT_SIDEBAR}
html_theme_options = {
    "logo": {"text": "lina"},
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": False,
}
