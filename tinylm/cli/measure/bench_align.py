"""`tinylm bench align`: one update of alignment, loss, backward pass and optimizer, and drawing the
responses of a step.

For each size (align_works.py): a step of DPO whose reference's log-probabilities are known, an
update by the clipped loss of GRPO, whose groups answer one prompt, and one of PPO with its critic;
then the responses of a step of GRPO, drawn with a cache. Where TRL is installed, it takes its turns
on the same weights and the same batch, each in a process of its own, and the result is the ratio
within a round; losses must agree to 1e-4. A step of DPO has two ratios: the second is to TRL as it
is unless told otherwise, reading the reference in every step.

Both sides have `--threads` threads. With one, the clock counts what the processor does for a
process, so that what else the machine does disturbs less. Read next: align_works.py; peer_trl.py.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from tinylm.cli.measure.align_works import DRAWING, SIZES, UPDATES
from tinylm.errors import TinylmError

NO_PEER = "TRL is not installed, so only tinylm is timed; `pip install trl` and run this again"
DEFAULT = ", default"  # beside TRL as it is configured by default


def rows_of(peers: bool) -> Iterator[tuple[str, str, bool]]:
    """Yield (size, update, whether TRL is as by default) of every row."""
    for size in SIZES:
        for update in (*UPDATES, DRAWING):
            yield size, update, False
            if peers and update == "DPO step":
                yield size, update, True


def bench(
    contestant: Callable, rounds: int, seconds: int, peers: bool = True, threads: int = 1
) -> Iterator[dict[str, Any]]:
    """Yield a dict for each row: name, ours, theirs (None without a peer), ratios.

    contestant  function (label, **job) -> Contestant of bench.py
    raises      TinylmError if the losses of tinylm and TRL differ by more than 1e-4, or one of them
                ends early
    """
    libraries = ["tinylm"]
    if peers and find_spec("trl") and find_spec("torch"):
        libraries.append("trl")
    for size, update, default in rows_of(len(libraries) > 1):
        job = {"kind": "alignment", "work": size, "update": update, "default": default}
        job |= {"threads": threads, "cpu": threads == 1}
        field = [contestant(name, library=name, **job) for name in libraries]
        steps = [warmed(one, seconds) for one in field]
        if len(field) > 1:
            same_work(update, *(one.values[0] for one in field))
        for _ in range(rounds):
            for one, n in zip(field, steps):
                one.seconds.append(one.turn(n))
        for one in field:
            one.close()
        times = [one.seconds for one in field] + [None] * (2 - len(field))
        yield row(f"{size} {update}{DEFAULT * default}", *times)


def warmed(one: Any, seconds: int) -> int:
    """The steps of a turn of about `seconds`, after two turns that fill caches."""
    one.turn(1)
    once = one.turn(2)
    if once is None:
        raise TinylmError(f"bench align: {one.label} ended early: {one.close()}")
    return max(1, round(seconds / once))


def same_work(name: str, ours: float, theirs: float) -> None:
    """Raise TinylmError if the losses of the first step differ, or the numbers of tokens."""
    if not abs(ours - theirs) <= 1e-4:
        raise TinylmError(
            f"bench align: the first {name} gives {ours:.6f}, and TRL's {theirs:.6f}: not the same "
            "work"
        )


def row(name: str, ours: Sequence[int], theirs: Sequence[int]) -> dict[str, Any]:
    """The figures of one update."""
    found = {"name": name, "ours": statistics.median(ours), "theirs": None}
    if theirs:
        ratios = [b / a for a, b in zip(ours, theirs)]
        found |= {
            "theirs": statistics.median(theirs),
            "ratio_min": min(ratios),
            "ratio_median": statistics.median(ratios),
            "ratio_max": max(ratios),
        }
    return found


def line(found: dict[str, Any]) -> str:
    """A row as text."""
    text = f"  {found['name']:<28}{1e3 * found['ours']:8.1f} ms"
    if found["theirs"] is None:
        return text
    return (
        f"{text}, TRL {1e3 * found['theirs']:.1f} ms: {found['ratio_median']:.2f} times as fast "
        f"({found['ratio_min']:.2f} .. {found['ratio_max']:.2f})"
    )
