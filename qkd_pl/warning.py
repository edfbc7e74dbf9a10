"""Warnings that point at the user's line, however deep in the package, or in PennyLane, their cause is found."""

import sys
import warnings

# Between a user's line and ours: PennyLane calls devices, autograd and scikit-learn call us.
_BETWEEN = ("qkd_pl", "pennylane", "autograd", "sklearn")


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the innermost line that is neither ours nor that of a library which has called us."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _BETWEEN:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
