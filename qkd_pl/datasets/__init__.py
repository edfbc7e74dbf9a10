"""Quantum and classical data to distil on."""

from qkd_pl.datasets.dataset import Dataset as Dataset
from qkd_pl.datasets.mnist import fit_pipeline as fit_pipeline
from qkd_pl.datasets.mnist import mnist as mnist
from qkd_pl.datasets.mnist import mnist_images as mnist_images
from qkd_pl.datasets.phases import ground_states as ground_states
from qkd_pl.datasets.phases import topological_phases as topological_phases

__all__ = ["Dataset", "fit_pipeline", "ground_states", "mnist", "mnist_images", "topological_phases"]
