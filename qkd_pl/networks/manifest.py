"""A network as JSON: ours in full, any other by what tells it apart, since no file names code."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from qkd_pl.checks import check_choice, cut
from qkd_pl.errors import InvalidInputError
from qkd_pl.networks.checking import is_ours, probe_outputs
from qkd_pl.networks.composed import EncodedNetwork
from qkd_pl.networks.networks import QAE, QNN
from qkd_pl.networks.probes import probe, probe_weights
from qkd_pl.networks.protocol import Network
from qkd_pl.networks.weights import checked_shape

_KINDS: dict[str, type[QNN] | type[QAE]] = {"QNN": QNN, "QAE": QAE}
_CUSTOM = "circuit"
_ENCODED = "EncodedNetwork"


def to_manifest(network: Network) -> dict[str, Any]:
    """The network as a JSON-able dictionary."""
    if isinstance(network, EncodedNetwork):
        return {
            "type": _ENCODED,
            "encoder": to_manifest(network.encoder),
            "student": to_manifest(network.student),
        }
    if isinstance(network, QNN | QAE) and is_ours(network):
        return {"type": type(network).__name__, **asdict(network)}
    shape = checked_shape(network.weights_shape)
    return {
        "type": _CUSTOM,
        "wires": [str(wire) for wire in network.wires],
        "weights_shape": dict(shape) if isinstance(shape, Mapping) else list(shape),
        "n_outputs": network.n_outputs,
    }


def fingerprint(network: Network) -> dict[str, Any]:
    """The manifest and, of a network that it does not tell in full, outputs for made inputs and weights.

    Rounded to 1e-6, so that it is the same wherever it is computed.
    """
    if is_ours(network):
        return to_manifest(network)
    outputs = probe_outputs(network, probe(network).inputs, probe_weights(network))
    return {**to_manifest(network), "outputs": outputs.round(6).tolist()}


def from_manifest(manifest: dict[str, Any], network: Network | None = None) -> Network:
    """The network that :func:`to_manifest` described.

    Args:
        manifest: see there.
        network: the custom network that it describes, or whose description stands within.

    Raises:
        InvalidInputError: it describes a custom network, and ``network`` is not given or differs in what is written.
    """
    settings = dict(manifest)
    kind = settings.pop("type")
    if kind == _ENCODED:
        if isinstance(network, EncodedNetwork):
            network = network.student
        encoder = from_manifest(settings["encoder"])
        return EncodedNetwork(encoder, from_manifest(settings["student"], network))  # type: ignore[arg-type]
    if kind in _KINDS:
        described = _KINDS[kind](**settings)
        if network is not None and network != described:
            raise InvalidInputError(f"network is {network}; the file's is {described}")
        return described
    check_choice("network type", kind, sorted((*_KINDS, _ENCODED, _CUSTOM)))
    if network is None:
        raise InvalidInputError(
            "the network is a circuit of the user's own, which no file can hold; give it: network=..."
        )
    if differing := _differing(manifest, network):
        raise InvalidInputError(f"the network given differs from the one stored in {', '.join(differing)}")
    return network


def _differing(manifest: dict[str, Any], network: Network) -> list[str]:
    given = to_manifest(network)
    shape = manifest["weights_shape"]
    stored = {**manifest, "weights_shape": _plain(shape)}
    given = {**given, "weights_shape": _plain(given.get("weights_shape"))}
    return [
        f"{name} ({cut(given.get(name))}, not {cut(stored[name])})"
        for name in stored
        if given.get(name) != stored[name]
    ]


def _plain(shape: Any) -> Any:
    """Shapes as lists, as they come back from JSON."""
    if isinstance(shape, Mapping):
        return {name: list(each) for name, each in shape.items()}
    return None if shape is None else list(shape)
