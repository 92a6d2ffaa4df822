"""Records of alignment are what they were made as."""

import dataclasses
import importlib
import pkgutil

import tinylm.align
from tinylm.align.feedback.refusals import Request
from tinylm.align.preference import DPO
from tinylm.align.rlhf.models import FourModels
from tinylm.align.rlhf.rollout import Rollout


def dataclasses_of(package):
    """All dataclasses that are written in the modules of a package."""
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        module = importlib.import_module(found.name)
        for one in vars(module).values():
            if dataclasses.is_dataclass(one) and getattr(one, "__module__", "") == found.name:
                yield one


def test_only_the_four_models_and_what_the_command_line_sets_can_be_changed():
    changed = {one for one in dataclasses_of(tinylm.align) if not one.__dataclass_params__.frozen}
    set_by_options = {one for one in dataclasses_of(tinylm.align.run) if one in changed}
    assert {one.__module__ for one in set_by_options} == {"tinylm.align.run.settings"}
    assert changed - set_by_options == {FourModels}
    frozen = set(dataclasses_of(tinylm.align)) - changed
    assert {DPO, Rollout, Request} < frozen
