# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Let ``galmorph.Name`` refer to the page of the module that Name is from.

So with the names that ``galmorph.training`` offers.
"""

import galmorph
from galmorph import training


def resolve(app, env, node, contnode):
    """Return a reference to the home of a name that a package offers, or None."""
    path = node.get('reftarget', '')
    for package in (training, galmorph):
        prefix = f'{package.__name__}.'
        name, _, member = path.removeprefix(prefix).partition('.')
        # What the package offers and where it is from, without importing it.
        home = package._HOMES.get(name)  # noqa: SLF001
        if node.get('refdomain') == 'py' and path.startswith(prefix) and home:
            target = '.'.join(part for part in (home, name, member) if part)
            return env.domains['py'].resolve_xref(
                env,
                node['refdoc'],
                app.builder,
                node['reftype'],
                target,
                node,
                contnode,
            )
    return None


def setup(app):
    """Listen for references that lead nowhere."""
    app.connect('missing-reference', resolve)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
