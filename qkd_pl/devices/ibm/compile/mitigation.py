"""Error mitigation by name: what it is in the settings of qiskit-ibm-runtime."""

from collections.abc import Mapping
from typing import Any

from qkd_pl.checks import check_choice
from qkd_pl.errors import InvalidInputError

#: Level, and advanced settings. Level 1 mitigates the read-out; level 2 extrapolates to zero noise besides, and twirls.
MITIGATION: dict[str, tuple[int, dict[str, Any]]] = {
    "none": (0, {}),
    "readout": (1, {}),
    "zne": (2, {}),
    "pec": (1, {"pec_mitigation": True}),
}
_SWITCHES = {
    "dynamical_decoupling": ("enable",),
    "twirling": ("enable_gates", "enable_measure"),
}


def mitigation_options(
    name: str | None, level: int | None, resilience: Mapping[str, Any] | None
) -> tuple[int | None, Mapping[str, Any] | None]:
    """``resilience_level`` and ``resilience`` for a mitigation by name; settings of one's own add to its own.

    Raises:
        InvalidInputError: no option has this name, or a level is given besides.
    """
    if name is None:
        return level, resilience
    check_choice("mitigation", name, MITIGATION)
    if level is not None:
        raise InvalidInputError(f"mitigation={name!r} and resilience_level={level!r} say the same thing; give one")
    chosen, advanced = MITIGATION[name]
    return chosen, {**advanced, **(resilience or {})} or None


def switched(name: str, setting: Mapping[str, Any] | bool | None) -> Mapping[str, Any] | None:
    """The setting in full for True or False, else as it is."""
    return dict.fromkeys(_SWITCHES[name], setting) if isinstance(setting, bool) else setting
