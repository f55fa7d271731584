# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The command ``python -m galmorph``, which is ``galmorph``."""

import sys

from galmorph.cli import main

if __name__ == '__main__':
    sys.exit(main())
