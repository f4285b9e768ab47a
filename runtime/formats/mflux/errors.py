"""What is wrong with a command line or with recorded settings, in words for the user."""


class CommandError(ValueError):
    """The command cannot do what it was asked.

    Attributes
    ----------
    message : str
        What is wrong; names the flag or key.
    fix : str or None
        What to do, where the message does not say it.
    """

    def __init__(self, message: str, fix: str | None = None) -> None:
        self.message = message
        self.fix = fix
        super().__init__(message if fix is None else f"{message}; {fix}")
