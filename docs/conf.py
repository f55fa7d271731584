# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Settings of Sphinx."""

import sys
from pathlib import Path

from sphinx_astropy.conf.v2 import *  # noqa: F403
from sphinx_astropy.conf.v2 import (
    exclude_patterns,
    extensions,
    html_theme_options,
    numpydoc_xref_astropy_aliases,
    numpydoc_xref_ignore,
    suppress_warnings,
)
from sphinx_gallery.sorting import FileNameSortKey

import galmorph

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / '_ext'))

project = 'galmorph'
author = 'galmorph developers'
copyright = f'2026, {author}'  # noqa: A001
release = galmorph.__version__
version = release.partition('+')[0]

# graphviz would be one more thing to install
extensions.remove('sphinx.ext.inheritance_diagram')
automodapi_inheritance_diagram = False
extensions += [
    'sphinx_gallery.gen_gallery',
    'command_help',
    'flag_table',
    'mathml',
    'model_cards',
    'results',
    'short_names',
    'stand_in',
    'tree_table',
]
exclude_patterns += ['_ext', 'api/*.inc', 'tutorials/*.ipynb']
# sphinx-gallery puts objects into the settings that cannot be pickled
suppress_warnings += ['config.cache']

# figures.py draws the figures of the guide
plot_formats = [('png', 110)]
plot_html_show_formats = False
plot_html_show_source_link = False

nitpicky = True
nitpick_ignore = [
    # torch documents it as torch.nn.Module
    ('py:class', 'torch.nn.modules.module.Module'),
    ('py:class', 'abc.ABC'),
    ('py:obj', 'PIL.Image.Image'),
    ('py:obj', 'threading.Event'),
    ('py:obj', 'torch.export'),
    # Sphinx divides the hint at its comma
    ('py:class', 'tuple[float'),
    # lightning documents them as lightning.LightningModule and so on
    ('py:class', 'lightning.pytorch.core.module.LightningModule'),
    ('py:class', 'lightning.pytorch.core.datamodule.LightningDataModule'),
    # bases that are not public
    ('py:class', 'galmorph.networks._tree.TreeHead'),
    ('py:class', 'galmorph.sources._sdss_catalogue.CataloguedSource'),
    ('py:class', 'galmorph.training._records.Record'),
]
default_role = 'py:obj'
numpydoc_xref_param_type = False
numpydoc_xref_aliases = dict(numpydoc_xref_astropy_aliases)
numpydoc_xref_ignore |= {'of', 'or'}

# The site of each package first, and without a network the list of its names
# that make_inventories.py has written.
_SITES = {
    'astropy': 'https://docs.astropy.org/en/stable/',
    'astroquery': 'https://astroquery.readthedocs.io/en/latest/',
    'lightning': 'https://lightning.ai/docs/pytorch/stable/',
    'matplotlib': 'https://matplotlib.org/stable/',
    'numpy': 'https://numpy.org/doc/stable/',
    'photutils': 'https://photutils.readthedocs.io/en/stable/',
    'python': 'https://docs.python.org/3/',
    'reproject': 'https://reproject.readthedocs.io/en/stable/',
    'torch': 'https://docs.pytorch.org/docs/stable/',
    'torchmetrics': 'https://lightning.ai/docs/torchmetrics/stable/',
}
intersphinx_mapping = {
    name: (site, (None, str(DOCS / '_intersphinx' / f'{name}.inv')))
    for name, site in _SITES.items()
}
intersphinx_timeout = 10

sphinx_gallery_conf = {
    'abort_on_example_error': True,
    'backreferences_dir': None,
    'download_all_examples': False,
    'examples_dirs': '../examples',
    'filename_pattern': '.*',
    'gallery_dirs': 'tutorials',
    'matplotlib_animations': False,
    'remove_config_comments': True,
    'show_memory': False,
    'within_subsection_order': FileNameSortKey,
}

html_title = f'galmorph {version}'
html_theme_options |= {
    'header_links_before_dropdown': 5,
    'logo': {'text': html_title},
    'navigation_with_keys': False,
}
html_static_path = ['_static']
html_css_files = ['galmorph.css']
html_math_renderer = 'mathml'
# Pages without others below them need no navigation at their side.
html_sidebars = {
    name: []
    for name in ('changes', 'comparison', 'development', 'getting_started', 'install')
}
htmlhelp_basename = 'galmorphdoc'
