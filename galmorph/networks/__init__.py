# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Networks: plain `torch` modules that know no astronomy."""

from galmorph.networks.registry import create_network, list_networks, register_network

__all__ = ['create_network', 'list_networks', 'register_network']
