# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Let ``galmorph.Name`` refer to the page of the module that Name is from."""

import galmorph


def resolve(app, env, node, contnode):
    """Return a reference to the home of a name that ``galmorph`` offers, or None."""
    package, _, path = node.get('reftarget', '').partition('.')
    name, _, member = path.partition('.')
    # What the package offers and where it is from, without importing it.
    home = galmorph._HOMES.get(name)  # noqa: SLF001
    if node.get('refdomain') != 'py' or package != 'galmorph' or home is None:
        return None
    target = '.'.join(part for part in (home, name, member) if part)
    return env.domains['py'].resolve_xref(
        env, node['refdoc'], app.builder, node['reftype'], target, node, contnode
    )


def setup(app):
    """Listen for references that lead nowhere."""
    app.connect('missing-reference', resolve)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
