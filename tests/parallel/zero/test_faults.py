"""Faults of ZeRO, planted: each changes what the single process gives."""

import pytest

from tests.parallel.layouts import largest_difference
from tests.parallel.test_layouts import ROUNDING, with_layout
from tinylm.parallel.mesh import Layout
from tinylm.parallel.zero import bucket
from tinylm.parallel.zero.bucket import Bucket
from tinylm.parallel.zero.units import ReducedUnits


def forgets_earlier_passes(self):
    """A slice that is overwritten by that of the next micro-batch."""
    self.flat.grad[...] = 0
    take_close(self)


def reduces_a_table_too_early(self, *args):
    """The table of tokens is not complete where the logits are: the lookup comes last."""
    take_units(self, *args)
    self.late = ()


def keeps_parameters_of_the_last_step(self):
    """Gathered once and never dropped: what others have updated is not seen."""


def begins_once(self):
    if not hasattr(self, "begun"):
        self.begun = True
        take_begin(self)


def nothing_decays(parameter):
    return False


def counts_all_of_them(self):
    """At stage 0 every rank has the whole gradient."""
    self.own = self.kept
    return take_pieces(self)


take_pieces, take_begin, take_close = Bucket.pieces, Bucket.begin, Bucket.close
take_units = ReducedUnits.__init__
PLANTED = {
    "gradients of the last micro-batch alone": (
        Bucket, "close", forgets_earlier_passes, 2,
    ),
    "gradients of the step before": (Bucket, "begin", begins_once, 2),
    "a table reduced before its lookup": (
        ReducedUnits, "__init__", reduces_a_table_too_early, 2,
    ),
    "parameters of the step before": (
        Bucket, "release", keeps_parameters_of_the_last_step, 3,
    ),
    "slices of matrices do not decay": (bucket, "decays", nothing_decays, 1),
    "all ranks count all gradients": (Bucket, "pieces", counts_all_of_them, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_error_is_noticed(name, monkeypatch):
    where, attribute, wrong, stage = PLANTED[name]
    found = with_layout(layout=Layout(dp=2, zero=stage))
    assert largest_difference(found) < ROUNDING
    monkeypatch.setattr(where, attribute, wrong)
    assert largest_difference(found) > 1e-6
