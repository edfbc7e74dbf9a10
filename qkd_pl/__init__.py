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
    from qkd_pl.deployment.calibration import calibrate as calibrate
    from qkd_pl.deployment.planning import plan as plan
    from qkd_pl.devices.ibm.jobs.jobs import attach as attach
    from qkd_pl.devices.ibm.jobs.jobs import submit as submit
    from qkd_pl.devices.ibm.jobs.rehearsal import rehearse as rehearse
    from qkd_pl.devices.registry import load_devices as load_devices
    from qkd_pl.devices.spec import DeviceSpec as DeviceSpec
    from qkd_pl.estimators import QNNClassifier as QNNClassifier
    from qkd_pl.estimators import QNNRegressor as QNNRegressor
    from qkd_pl.networks.custom import CircuitNetwork as CircuitNetwork
    from qkd_pl.networks.models import load_model as load_model
    from qkd_pl.networks.models import trained as trained
    from qkd_pl.networks.networks import QAE as QAE
    from qkd_pl.networks.networks import QNN as QNN
    from qkd_pl.search.space import SearchSpace as SearchSpace
    from qkd_pl.search.student_search import StudentSearch as StudentSearch
    from qkd_pl.teachers import Ensemble as Ensemble
    from qkd_pl.training import callbacks as callbacks
    from qkd_pl.training import schedules as schedules
    from qkd_pl.training.losses import CrossEntropy as CrossEntropy
    from qkd_pl.training.losses import DecoupledDistillation as DecoupledDistillation
    from qkd_pl.training.losses import Distillation as Distillation
    from qkd_pl.training.losses import Hints as Hints
    from qkd_pl.training.losses import Huber as Huber
    from qkd_pl.training.losses import Infidelity as Infidelity
    from qkd_pl.training.losses import Relational as Relational
    from qkd_pl.training.losses import SquaredError as SquaredError
    from qkd_pl.training.trainer import KDTrainer as KDTrainer

#: Where each public name is defined; names in _MODULES are modules themselves.
_HOMES = {
    "datasets": "",
    "errors": "",
    "plotting": "",
    "statistics": "",
    "calibrate": "deployment.calibration",
    "Embedding": "circuits.embeddings",
    "plan": "deployment.planning",
    "attach": "devices.ibm.jobs.jobs",
    "submit": "devices.ibm.jobs.jobs",
    "rehearse": "devices.ibm.jobs.rehearsal",
    "DeviceSpec": "devices.spec",
    "load_devices": "devices.registry",
    "QNNClassifier": "estimators",
    "CircuitNetwork": "networks.custom",
    "QNNRegressor": "estimators",
    "load_model": "networks.models",
    "trained": "networks.models",
    "QAE": "networks.networks",
    "QNN": "networks.networks",
    "SearchSpace": "search.space",
    "StudentSearch": "search.student_search",
    "Ensemble": "teachers",
    "callbacks": "training",
    "schedules": "training",
    "CrossEntropy": "training.losses",
    "DecoupledDistillation": "training.losses",
    "Distillation": "training.losses",
    "Hints": "training.losses",
    "Huber": "training.losses",
    "Infidelity": "training.losses",
    "Relational": "training.losses",
    "SquaredError": "training.losses",
    "KDTrainer": "training.trainer",
}

_MODULES = ("datasets", "errors", "plotting", "statistics", "callbacks", "schedules")

__all__ = sorted(_HOMES)
__version__ = version("qkd-pl")


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        from qkd_pl.checks import nearest

        # With a name and no object Python's traceback adds no suggestion of its own, which notebooks do not show.
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{nearest(name, _HOMES)}", name=name)
    home = _HOMES[name]
    if name in _MODULES:
        value = import_module(".".join(filter(None, (__name__, home, name))))
    else:
        value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
