"""What keeps a server from being used, worded for the user. Imports nothing."""

from __future__ import annotations


class ServerError(Exception):
    """A server cannot be reached, is none, or does not do what it is asked for."""


class ServerGone(ServerError):
    """No answer came: the server has ended, or the network is down."""
