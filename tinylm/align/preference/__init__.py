"""Preferences learnt without a reward model and without sampling   (book section 4.4.2).

In order: dpo.py (the derivation; label noise; self-play), margins.py (hinge, SLiC, IPO), kto.py
(single answers), apo.py (anchored), no_reference.py (ORPO, SimPO, CPO), divergences.py (other
divergences than KL), metrics.py, losses.py (all of them by name), population.py (a loss on
all pairs), pairs.py (batches), tuning.py (the task for finetune.fit), online.py (pairs of
the policy's own samples), rso.py (pairs of samples of the optimal policy), judged.py (KTO on
answers that are good or bad). cases.py holds the gradient checks.
"""

from tinylm.align.preference.apo import apo_down, apo_zero
from tinylm.align.preference.divergences import f_dpo
from tinylm.align.preference.dpo import (
    dpo,
    implicit_reward,
    log_ratio,
    preference_probability,
    robust_dpo,
    spin,
)
from tinylm.align.preference.judged import KTO, encode_judged, kto_weights
from tinylm.align.preference.kto import kto, kto_reference_point, paired_kto
from tinylm.align.preference.losses import LOSSES, PreferenceLoss, preference_loss
from tinylm.align.preference.margins import hinge, ipo, slic
from tinylm.align.preference.metrics import implicit_accuracy, preference_metrics
from tinylm.align.preference.no_reference import cpo, log_odds, orpo, simpo
from tinylm.align.preference.online import online_dpo, own_pairs, self_play_pairs
from tinylm.align.preference.pairs import (
    EncodedAnswer,
    PreferenceBatch,
    make_pairs_batch,
    with_others,
)
from tinylm.align.preference.rso import rso_pairs, rso_samples
from tinylm.align.preference.tuning import (
    DPO,
    check_start,
    preference_accuracy,
    tune,
    with_reference,
)
