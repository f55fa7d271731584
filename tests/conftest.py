# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Settings of the test run."""

from hypothesis import HealthCheck, settings
from pytest_astropy_header.display import PYTEST_HEADER_MODULES, TESTED_VERSIONS

import galmorph

# Machines that run tests are busy ones: time says nothing, and a failure has to
# come back at the next run.
settings.register_profile(
    'galmorph',
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile('galmorph')

TESTED_VERSIONS['galmorph'] = galmorph.__version__


def pytest_configure(config):
    config.option.astropy_header = True
    PYTEST_HEADER_MODULES.clear()
    PYTEST_HEADER_MODULES.update(
        {
            'Numpy': 'numpy',
            'Astropy': 'astropy',
            'Photutils': 'photutils',
            'Reproject': 'reproject',
            'PyTorch': 'torch',
        }
    )
