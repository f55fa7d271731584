# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Settings that a user may keep in the astropy configuration file."""

from astropy import config as _config

__all__ = ['Conf', 'conf']


class Conf(_config.ConfigNamespace):
    """
    Configuration parameters of `galmorph`.

    Examples
    --------
    >>> from galmorph import conf
    >>> conf.default_weights
    'dieleman.gz2'
    >>> with conf.set_temp('batch_size', 16):
    ...     conf.batch_size
    16
    """

    rootname = 'galmorph'

    default_weights = _config.ConfigItem(
        'dieleman.gz2',
        'Name of the weights that MorphologyClassifier() loads.',
    )
    device = _config.ConfigItem(
        'auto',
        "Device that runs the networks: 'auto', 'cpu', 'cuda', 'cuda:1', 'mps'.",
    )
    precision = _config.ConfigItem(
        ['float32', 'bf16', 'fp16'],
        'Arithmetic of the networks.',
    )
    batch_size = _config.ConfigItem(64, 'Galaxies in one pass of the network.')
    chunk_size = _config.ConfigItem(
        1024,
        'Rows of a table whose images are held in memory at a time.',
    )


conf = Conf()
