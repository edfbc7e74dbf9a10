"""Knowledge distillation for quantum neural networks on PennyLane."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from qkd_pl import datasets as datasets
from qkd_pl.architectures import QAE as QAE
from qkd_pl.architectures import QNN as QNN
from qkd_pl.estimator import QNNClassifier as QNNClassifier
from qkd_pl.models import load_model as load_model
from qkd_pl.registry import DeviceSpec as DeviceSpec
from qkd_pl.registry import load_devices as load_devices
from qkd_pl.teachers import Ensemble as Ensemble
from qkd_pl.trainer import KDTrainer as KDTrainer

if TYPE_CHECKING:
    from qkd_pl.deployment import plan as plan
    from qkd_pl.ibm.jobs import attach as attach
    from qkd_pl.ibm.jobs import submit as submit

# These need Qiskit, whose import takes seconds, and are imported when they are first used.
_LAZY = {"plan": "qkd_pl.deployment", "submit": "qkd_pl.ibm.jobs", "attach": "qkd_pl.ibm.jobs"}


__version__ = version("qkd-pl")


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
