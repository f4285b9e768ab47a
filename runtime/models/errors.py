"""Errors about models, worded for the person who runs a workflow.

Every message says what is wrong, where, and what to do about it.
"""


class ModelError(Exception):
    """Anything that keeps a model from being found, read or held."""


class UnknownModelError(ModelError):
    """The name is no alias, no folder and no Hugging Face repository id."""


class CheckpointError(ModelError):
    """A checkpoint's files are missing, damaged, or do not fit together."""


class LoraError(ModelError):
    """A LoRA's file is missing, damaged, or does not fit the model."""


class DownloadError(ModelError):
    """Files could not be fetched from the Hugging Face Hub."""


class MemoryLimitError(ModelError):
    """A component does not fit in the memory that the user allowed."""
