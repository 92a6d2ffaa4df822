"""Scaling laws: the loss of a model before it is trained, and the cost of its training   (book
section 2.2.4).

Read in this order: laws.py (the published laws), fits.py (estimating a law from runs), intervals.py
(confidence and prediction intervals), chinchilla.py (the best model size for a compute budget),
broken.py (laws that bend), double_descent.py (and that rise), accounting.py (operations and bytes
of a run, exactly), sharp.py (metrics that jump where the loss does not), registry.py (published
models), sweep.py (runs of one's own).
"""

from tinylm.train.scaling.accounting import memory, product_flops, training_flops
from tinylm.train.scaling.broken import broken_power_law, three_phases
from tinylm.train.scaling.chinchilla import compute_optimal, minimal_compute
from tinylm.train.scaling.fits import Fit, fit_law
from tinylm.train.scaling.intervals import bootstrap, confidence, prediction
from tinylm.train.scaling.laws import CHINCHILLA, kaplan_loss, power_law
from tinylm.train.scaling.sweep import Run, load_runs, save_run, train_one
