"""Quantum and classical data to distil on."""

from qkd_pl.datasets.dataset import Dataset as Dataset
from qkd_pl.datasets.phases import ground_states as ground_states
from qkd_pl.datasets.phases import topological_phases as topological_phases
