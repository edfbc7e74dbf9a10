"""Calibrating a model on a device: what its noise does to outputs, found on inputs whose exact outputs are known."""

from datetime import UTC, datetime
from typing import Any

import numpy as np

from qkd_pl.checks import kind_of
from qkd_pl.deployment.planning import observable_names, plan
from qkd_pl.devices.calibration import Calibration, Place, fit_calibration
from qkd_pl.devices.ibm.jobs.jobs import submit
from qkd_pl.devices.registry import AnyDevice, resolve_device
from qkd_pl.devices.spec import EXACT, DeviceSpec
from qkd_pl.errors import InvalidInputError
from qkd_pl.networks.models import TrainedNetwork


def calibrate(model: TrainedNetwork, inputs: np.ndarray, device: AnyDevice) -> Calibration:
    """Run a model on some inputs, exactly and on a device, and fit the device's outputs to the exact ones.

    On a device with the plugin ``qkd.ibm`` this is one job with a receipt, and waits for it; on any other it runs here.
    To calibrate the job that evaluates a model instead, see :func:`qkd_pl.deployment.planning.plan`.

    Args:
        model: a trained network that a simulator can still run exactly.
        inputs: m samples in the form that the model takes, at least 5, whose exact outputs differ; labels are not
            needed. Twenty to fifty do; see the guide on hardware.
        device: name in the device registry, a spec, or a device.

    Returns:
        the calibration, valid for this backend, layout and model: ``model.with_calibration(…)``.

    Raises:
        CalibrationError: too few inputs, or too little signal is left.
        InvalidInputError, DeviceConfigError, BackendError, CostLimitError: as :func:`qkd_pl.plan` and
            :func:`qkd_pl.submit` raise them.

    Example:
        >>> import qkd_pl as kd
        >>> network = kd.QNN(n_qubits=2, n_layers=1, embedding="angle")
        >>> model = kd.trained(network, np.full(network.weights_shape, 0.4))
        >>> found = calibrate(model, np.random.default_rng(0).uniform(0, 3, (20, 2)), device="sampled")
        >>> bool(abs(found.slope[0] - 1) < 0.1)  # an ideal device, but for shot noise
        True
    """
    if not isinstance(model, TrainedNetwork):
        raise InvalidInputError(f"model is {kind_of(model)}; expected a trained network")
    spec = resolve_device(device)
    if isinstance(spec, DeviceSpec) and spec.plugin == "qkd.ibm":
        job = submit(plan(model, inputs, spec, calibrate=len(inputs)))  # type: ignore[arg-type]
        found = job.calibration
        assert found is not None  # planned so
        return found
    exact, measured = (model.outputs(inputs, each) for each in (EXACT, spec))
    place = Place.of(_backend_name(spec), (), observable_names(model, inputs))
    return fit_calibration(exact, measured, place, shots=spec.shots, created=datetime.now(UTC).isoformat())


def _backend_name(spec: Any) -> str:
    backend = getattr(spec, "backend", None)
    return backend if isinstance(backend, str) else getattr(backend, "name", None) or spec.name
