"""Warnings and errors of lina; bad arguments raise the built-in ValueError and TypeError."""


class LinaWarning(UserWarning):
    """Base class of the warnings that lina issues."""


class AccuracyWarning(LinaWarning):
    """The result is returned, and is less accurate than was asked for."""


class GradientError(RuntimeError):
    """A gradient was asked of an operation that has none; nothing is detached silently."""
