"""Knowledge distillation for quantum neural networks on PennyLane.

Every public name stands here and is imported when it is first used, so that ``import qkd_pl`` costs nothing by itself.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qkd_pl import datasets as datasets
    from qkd_pl import errors as errors
    from qkd_pl import plotting as plotting
    from qkd_pl import statistics as statistics
    from qkd_pl.circuits.embeddings import Embedding as Embedding
    from qkd_pl.deployment.planning import plan as plan
    from qkd_pl.devices.ibm.jobs.jobs import attach as attach
    from qkd_pl.devices.ibm.jobs.jobs import submit as submit
    from qkd_pl.devices.registry import load_devices as load_devices
    from qkd_pl.devices.spec import DeviceSpec as DeviceSpec
    from qkd_pl.estimators import QNNClassifier as QNNClassifier
    from qkd_pl.networks.custom import CircuitNetwork as CircuitNetwork
    from qkd_pl.networks.models import load_model as load_model
    from qkd_pl.networks.models import trained as trained
    from qkd_pl.networks.networks import QAE as QAE
    from qkd_pl.networks.networks import QNN as QNN
    from qkd_pl.teachers import Ensemble as Ensemble
    from qkd_pl.training.trainer import KDTrainer as KDTrainer

#: Where each public name is defined; names without a module are modules themselves.
_HOMES = {
    "datasets": "",
    "errors": "",
    "plotting": "",
    "statistics": "",
    "Embedding": "circuits.embeddings",
    "plan": "deployment.planning",
    "attach": "devices.ibm.jobs.jobs",
    "submit": "devices.ibm.jobs.jobs",
    "DeviceSpec": "devices.spec",
    "load_devices": "devices.registry",
    "QNNClassifier": "estimators",
    "CircuitNetwork": "networks.custom",
    "load_model": "networks.models",
    "trained": "networks.models",
    "QAE": "networks.networks",
    "QNN": "networks.networks",
    "Ensemble": "teachers",
    "KDTrainer": "training.trainer",
}

__all__ = sorted(_HOMES)
__version__ = version("qkd-pl")


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES[name]
    value = getattr(import_module(f"{__name__}.{home}"), name) if home else import_module(f"{__name__}.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
