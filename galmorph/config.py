# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Settings that a user may keep in the astropy configuration file."""

from astropy import config as _config

__all__ = ['Conf', 'conf']


class Conf(_config.ConfigNamespace):
    """
    Configuration parameters of `galmorph`.

    They are read from ``galmorph.cfg`` in the configuration folder of
    astropy (``~/.astropy/config`` by default), a line ``name = value`` each.

    Examples
    --------
    >>> from galmorph import conf
    >>> conf.default_weights
    'compact.gz2'
    >>> with conf.set_temp('batch_size', 16):
    ...     conf.batch_size
    16
    """

    default_weights = _config.ConfigItem(
        'compact.gz2',
        'Name of the weights that MorphologyClassifier() loads.',
        module='galmorph',
    )
    device = _config.ConfigItem(
        'auto',
        "Device that runs the networks: 'auto', 'cpu', 'cuda', 'cuda:1', 'mps'.",
        module='galmorph',
    )
    precision = _config.ConfigItem(
        ['float32', 'bf16', 'fp16'],
        'Arithmetic of the networks.',
        module='galmorph',
    )
    batch_size = _config.ConfigItem(
        64,
        'Galaxies in one pass of the network.',
        cfgtype='integer(min=1)',
        module='galmorph',
    )
    chunk_size = _config.ConfigItem(
        1024,
        'Rows of a table whose images are held in memory at a time.',
        cfgtype='integer(min=1)',
        module='galmorph',
    )
    source_cache = _config.ConfigItem(
        '',
        'Folder of downloaded images; by default in the cache folder of astropy.',
        cfgtype='string',
        module='galmorph',
    )
    source_cache_limit = _config.ConfigItem(
        20.0,
        'Gigabytes of downloaded images, beyond which the oldest are deleted.',
        cfgtype='float(min=0)',
        module='galmorph',
    )


conf = Conf()
