"""Knowledge distillation for quantum neural networks on PennyLane."""

from qkd_pl import datasets as datasets
from qkd_pl.architectures import QAE as QAE
from qkd_pl.architectures import QNN as QNN
from qkd_pl.models import load_model as load_model
from qkd_pl.registry import DeviceSpec as DeviceSpec
from qkd_pl.registry import load_devices as load_devices
from qkd_pl.teachers import Ensemble as Ensemble
from qkd_pl.trainer import KDTrainer as KDTrainer
