"""Every method of `tinylm align` by its name: what it does, its settings, the class that runs it.

Those of methods.py learn from a file of answers, those of align/rlhf from a reward. Read next:
training.py, policy.py.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from tinylm.align.preference.losses import LOSSES
from tinylm.align.rlhf import METHODS as POLICY_METHODS
from tinylm.align.run.methods import METHODS
from tinylm.align.run.policy import PolicyTraining, policy_classes
from tinylm.align.run.settings import ALIASES, TuningSettings
from tinylm.align.run.training import Training
from tinylm.errors import ConfigError


@dataclass(frozen=True)
class Kind:
    """A method as the command knows it.

    purpose   a line;  section  of the book
    settings  dataclasses of its settings
    run       class: (name, run, settings, directory, report, begun) -> something with go()
    """

    purpose: str
    section: str
    settings: tuple
    run: Callable


# The policy gradient and its baselines are of section 4.3.1, PPO with what belongs to it of 4.3.3.
_SECTIONS = {"reinforce": "4.3.1", "a2c": "4.3.1"}


def kinds() -> dict[str, Kind]:
    """{name: Kind} in the order of the book."""
    found = {}
    for name, method in METHODS.items():
        classes = (TuningSettings, method.settings)
        found[name] = Kind(method.purpose, method.section, classes, Training)
    for name, method in POLICY_METHODS.items():
        purpose = " ".join(method.__doc__.splitlines()[0].split())
        section = _SECTIONS.get(name, "4.3.3")
        found[name] = Kind(purpose, section, policy_classes(name), PolicyTraining)
    return found


def kind_of(name: str) -> Kind:
    """The Kind of a name.

    raises  ConfigError with the names; for the name of a loss, with the command that takes it
    """
    known = kinds()
    if name in known:
        return known[name]
    if name in LOSSES or name in ALIASES:
        raise ConfigError(f"{name!r} is a loss of pairs: tinylm align dpo RUN --loss {name}")
    hint = f"choose one of {', '.join(known)}"
    if near := difflib.get_close_matches(str(name), known, n=2, cutoff=0.5):
        hint = f"did you mean {' or '.join(near)}?"
    raise ConfigError(f"no method {name!r}: {hint}")
