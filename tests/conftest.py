# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Settings of the test run."""

import pytest
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


@pytest.fixture(scope='module')
def kaggle(tmp_path_factory):
    """Return the folder of a small Galaxy Challenge, with all classes of Zhu."""
    # Not all tests need what trains.
    from tests.helpers.recipes import write_clear_kaggle

    folder = tmp_path_factory.mktemp('data') / 'challenge'
    write_clear_kaggle(folder, 30)
    return folder


@pytest.fixture(scope='session')
def tiny_network():
    """Let cards name the network 'tiny'."""
    from galmorph.networks import registry
    from tests.helpers.tiny import TinyNetwork

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry._registered, 'tiny', TinyNetwork)
        yield 'tiny'


@pytest.fixture(scope='session')
def tiny_card(tiny_network, tmp_path_factory):
    """Return the path of the card of small, fast, meaningless weights."""
    from galmorph.schemas import load_schema
    from tests.helpers.tiny import make_tiny_card

    folder = tmp_path_factory.mktemp('weights')
    return make_tiny_card(folder, structure=load_schema('gz2').structure)


@pytest.fixture
def classifier(tiny_card):
    """Return a classifier with the tiny weights."""
    from galmorph.classifier import MorphologyClassifier

    return MorphologyClassifier(tiny_card, 'cpu', n_workers=2)
