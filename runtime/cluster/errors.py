"""What keeps a cluster from being used, worded for the user. Imports nothing."""

from __future__ import annotations


class ClusterError(Exception):
    """There is no cluster to run on: it cannot be reached, or none of its workers can be used."""
