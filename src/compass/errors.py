"""What can go wrong with input. Every message is one sentence meant for the user."""


class CompassError(Exception):
    """Base of all errors that this package raises on purpose."""


class InputError(CompassError, ValueError):
    """A picture, option or size that cannot be used."""


class FormatError(CompassError):
    """Bytes that are not a valid COMPASS file, or are damaged."""


class ModelError(CompassError):
    """A model file that is missing, damaged, or not the one that a bitstream needs."""


class CutFileWarning(UserWarning):
    """A file that ends early, of which something could be decoded all the same."""
