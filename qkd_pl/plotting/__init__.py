"""Figures from results and histories; each function returns a Matplotlib figure and shows nothing.

``figure.savefig`` writes one to a file. In a notebook, ``%matplotlib inline`` makes a figure at the end of a cell
visible.
"""

from qkd_pl.plotting.arms import ARM_LABELS as ARM_LABELS
from qkd_pl.plotting.arms import plot_arms as plot_arms
from qkd_pl.plotting.figures import plot_circuit as plot_circuit
from qkd_pl.plotting.figures import plot_confusion as plot_confusion
from qkd_pl.plotting.figures import plot_history as plot_history
from qkd_pl.plotting.figures import plot_phase_transition as plot_phase_transition

__all__ = ["ARM_LABELS", "plot_arms", "plot_circuit", "plot_confusion", "plot_history", "plot_phase_transition"]
