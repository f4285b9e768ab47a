"""What is wrong with a command line or with recorded settings, in words for the user."""


class CommandError(ValueError):
    """The command cannot do what it was asked; the message names the flag or key and the fix."""
