"""Objects of the user's own that the command line names: no file names code, but a user may."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from qkd_pl.checks import nearest
from qkd_pl.errors import InvalidInputError


def named_object(name: str, option: str) -> Any:
    """What ``MODULE:NAME`` means in Python, modules of the working directory included.

    Args:
        name: for example ``"circuits:network"``, the object ``network`` of ``circuits.py``.
        option: what a message calls it.

    Raises:
        InvalidInputError: the text is not of this form, the module cannot be imported, or has no such object.

    Example:
        >>> named_object("math:pi", "--network")
        3.141592653589793
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute.isidentifier():
        raise InvalidInputError(f"{option}={name!r}: must be MODULE:NAME, for example circuits:network")
    here = str(Path.cwd())
    sys.path.insert(0, here)  # a script's own path is the folder in which it is installed
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise InvalidInputError(f"{option}={name!r}: {module_name} cannot be imported ({error})") from error
    finally:
        sys.path.remove(here)
    if not hasattr(module, attribute):
        close = nearest(attribute, vars(module))
        raise InvalidInputError(f"{option}={name!r}: {module.__file__} has no {attribute}{close}")
    return getattr(module, attribute)
