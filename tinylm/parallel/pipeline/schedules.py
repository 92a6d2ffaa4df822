"""What every stage of a pipeline does, and in which order, as data   (book section 2.2.3).

A schedule is a list of actions for each stage: F, the forward pass of a micro-batch through the
stage's layers, and B, its backward pass. Virtual stage v = chunk p + stage has the chunk-th part of
the layers of a stage, so that with c chunks the layers go round c times.

    naive         one micro-batch: a stage waits for all others         (model parallelism)
    gpipe         all forward passes, then all backward ones            (Huang et al. 2019)
    1f1b          one forward, one backward, as soon as a stage can     (Harlap et al. 2018)
    interleaved   the same with several chunks a stage                  (Narayanan et al. 2021)
    zb-h1, zb-h2  the backward pass in halves: B is the cotangent of the stage's input, for which
                  the stage below waits, and W the gradients of its weights, for which nobody does
                  (Qi et al. 2023, "Zero Bubble Pipeline Parallelism")

With p stages, m micro-batches, c chunks and the time of all of a stage's passes for a micro-batch
as the unit, a step takes m + (p-1) / c instead of m: the share (p-1) / (c m + p-1) of it is idle,
the bubble. GPipe keeps the activations of m micro-batches, 1F1B of at most p.

With times T_F, T_B, T_W of a micro-batch, where 1F1B's backward pass takes T_B + T_W, the first
stage waits in all, and keeps at most, from its first action to its last

    1f1b     (p-1) (T_F + T_B + T_W)    p          passes      for m >= p
    zb-h1    (p-1) (T_F + T_B - T_W)    p                      for m >= p,      T_W <= T_F
    zb-h2    (p-1) (T_F + T_B - 2 T_W)  2 p - 1                for m >= 2 p-1,  T_W <= T_F and
                                                               2 T_W <= T_F + T_B

and no other stage waits longer. With equal times that is a third of 1F1B's, and nothing. Stages of
zb-h2 end one after another, though, as they began: until the last is done it then takes as long as
zb-h1. What it saves is there only for an optimizer that goes on with one stage before the others
are done, which a norm of all gradients forbids (the paper's is checked afterwards). Read next:
run.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tinylm.errors import ConfigError


@dataclass(frozen=True)
class Action:
    """A pass of a micro-batch through a chunk of a stage: kind "F", "B" or "W".

    As text F0, and of the second chunk on with its letter: F0b.
    """

    kind: str
    micro: int
    chunk: int = 0

    def __str__(self) -> str:
        letter = "" if not self.chunk else chr(ord("a") + self.chunk)
        return f"{self.kind}{self.micro}{letter}"


def naive(stages: int, micros: int, chunks: int = 1) -> list[list[Action]]:
    """One micro-batch after another, up through all layers and down: a list for each stage."""
    row = []
    for k in range(micros):
        row += [Action("F", k, c) for c in range(chunks)]
        row += [Action("B", k, c) for c in reversed(range(chunks))]
    return [list(row) for _ in range(stages)]


def gpipe(stages: int, micros: int, chunks: int = 1) -> list[list[Action]]:
    """All forward passes, then all backward ones: a list of Actions for each stage."""
    order = range(chunks)
    ahead = [Action("F", k, c) for c in order for k in range(micros)]
    back = [Action("B", k, c) for c in reversed(order) for k in range(micros)]
    return [ahead + back for _ in range(stages)]


def one_f_one_b(stages: int, micros: int, chunks: int = 1) -> list[list[Action]]:
    """Stage s runs p - 1 - s micro-batches ahead, then alternates.

    With chunks it is interleaved, and then micro-batches come in groups of p.

    raises  ConfigError if chunks are more than one and p does not divide the micro-batches
    """
    p, m, c = stages, micros, chunks
    if c > 1 and m % p:
        raise ConfigError(
            f"schedule: {m} micro-batches are no multiple of {p} stages, which chunks need; "
            f"{max(m // p, 1) * p} are"
        )
    found = []
    for s in range(p):
        ahead = [Action("F", *_turn(k, p, c, False)) for k in range(m * c)]
        back = [Action("B", *_turn(k, p, c, True)) for k in range(m * c)]
        warm_up = p - 1 - s
        if c > 1:
            warm_up = 2 * (p - 1 - s) + (c - 1) * p
        warm_up = min(warm_up, m * c)
        actions = ahead[:warm_up]
        for forward, backward in zip(ahead[warm_up:], back):
            actions += [forward, backward]
        found.append(actions + back[m * c - warm_up :])
    return found


def _turn(k, p, c, backward):
    """(micro-batch, chunk) of a stage's k-th pass: p micro-batches a chunk, then the next."""
    if c == 1:
        return k, 0
    group, within = divmod(k, p * c)
    chunk, place = divmod(within, p)
    if backward:
        chunk = c - 1 - chunk
    return group * p + place, chunk


def zb_h1(stages: int, micros: int, chunks: int = 1) -> list[list[Action]]:
    """1F1B whose W of stage s is s micro-batches behind its B: it keeps no more than 1F1B does.

    raises  ConfigError if chunks are more than one
    """
    return _zero_bubble(stages, micros, chunks, 1)


def zb_h2(stages: int, micros: int, chunks: int = 1) -> list[list[Action]]:
    """Stage s runs 2 (p - 1 - s) micro-batches ahead, and its W is 2 s behind its B.

    raises  ConfigError if chunks are more than one
    """
    return _zero_bubble(stages, micros, chunks, 2)


def _zero_bubble(stages, micros, chunks, factor):
    if chunks > 1:
        raise ConfigError(
            f"schedule: zb-h1 and zb-h2 have one chunk a stage, not {chunks}; 1f1b takes chunks"
        )
    found = []
    for s in range(stages):
        # As many passes are under way on every stage: those before B above, those before W below.
        ahead, behind = min(factor * (stages - 1 - s), micros), factor * s
        row = [Action("F", k) for k in range(ahead)]
        for k in range(micros):
            row += [Action("F", ahead + k)] * (ahead + k < micros)
            row += [Action("B", k)]
            row += [Action("W", k - behind)] * (k >= behind)
        found.append(row + [Action("W", k) for k in range(max(micros - behind, 0), micros)])
    return found


SCHEDULES = {
    "naive": naive,
    "gpipe": gpipe,
    "1f1b": one_f_one_b,
    "zb-h1": zb_h1,
    "zb-h2": zb_h2,
}


def schedule(name: str, stages: int, micros: int, chunks: int = 1) -> list[list[Action]]:
    """The schedule of that name: a list of Actions for each stage.

    raises  ConfigError for a name that there is not, or numbers below 1
    """
    if name not in SCHEDULES:
        raise ConfigError(f"schedule: no {name!r}, choose one of {', '.join(SCHEDULES)}")
    if min(stages, micros, chunks) < 1:
        raise ConfigError(
            f"schedule: {stages} stages, {micros} micro-batches, {chunks} chunks: at least 1 each"
        )
    return SCHEDULES[name](stages, micros, chunks)


@dataclass(frozen=True)
class Timed:
    """An action with its time: stage, Action, start, stop."""

    stage: int
    action: Action
    start: float
    stop: float


def timed(
    actions: Sequence[list[Action]],
    forward: float = 1.0,
    backward: float = 1.0,
    overhead: float = 0.0,
    hop: float = 0.0,
    weights: float = 1.0,
) -> list[Timed]:
    """When everything happens, if each stage starts an action as soon as it can.

    actions    a schedule
    forward, backward  time of a stage for a micro-batch, all its chunks together
    weights    time of W, where there is one; B is then the other half alone
    overhead   of every action;  hop  until what it sends has arrived
    returns    list of Timed, in the order in which they start
    raises     ConfigError if the order of some stage can never be done
    """
    p = len(actions)
    chunks = 1 + max((a.chunk for row in actions for a in row), default=0)
    spans = {"F": forward, "B": backward, "W": weights}
    spans = {kind: time / chunks + overhead for kind, time in spans.items()}
    ends, free, found = {}, [0.0] * p, []
    waiting = [list(row) for row in actions]
    while any(waiting):
        moved = False
        for stage, row in enumerate(waiting):
            while row:
                needs = [(ends.get(key), key) for key in needed(row[0], stage, p, chunks)]
                if any(end is None for end, _ in needs):
                    break
                action = row.pop(0)
                others = [end + hop * (key[1] != stage) for end, key in needs]
                start = max([free[stage], *others])
                free[stage] = ends[action, stage] = start + spans[action.kind]
                found.append(Timed(stage, action, start, free[stage]))
                moved = True
        if not moved:
            stuck = "; ".join(f"stage {s} before {row[0]}" for s, row in enumerate(waiting) if row)
            raise ConfigError(f"schedule: every stage waits for another one: {stuck}")
    return sorted(found, key=lambda one: (one.start, one.stage))


def needed(action: Action, stage: int, stages: int, chunks: int) -> list[tuple[Action, int]]:
    """The passes that must be done before: list of (Action, stage)."""
    virtual = action.chunk * stages + stage
    last = stages * chunks - 1
    if action.kind == "F":
        return [_pass("F", action.micro, virtual - 1, stages)] if virtual else []
    if action.kind == "W":
        return [(Action("B", action.micro, action.chunk), stage)]
    own = [(Action("F", action.micro, action.chunk), stage)]
    if virtual < last:
        own.append(_pass("B", action.micro, virtual + 1, stages))
    return own


def _pass(kind, micro, virtual, stages):
    chunk, stage = divmod(virtual, stages)
    return Action(kind, micro, chunk), stage


def bubble(plan: Sequence[Timed]) -> float:
    """The idle share of all stages' time, of a list of Timed."""
    total = max(one.stop for one in plan)
    stages = 1 + max(one.stage for one in plan)
    return 1 - sum(one.stop - one.start for one in plan) / (stages * total)


def stalled(plan: Sequence[Timed]) -> list[float]:
    """How long each stage is idle from its own first action to its own last: a list."""
    found = []
    for stage in range(1 + max(one.stage for one in plan)):
        own = [one for one in plan if one.stage == stage]
        busy = sum(one.stop - one.start for one in own)
        found.append(max(one.stop for one in own) - min(one.start for one in own) - busy)
    return found


def most_kept(actions: Sequence[list[Action]], for_weights: int = 1) -> list[int]:
    """The most passes of which each stage keeps activations at a time: a list.

    for_weights  share of a pass's activations that its W still needs after its B
    """
    found = []
    for row in actions:
        halves = any(action.kind == "W" for action in row)
        left = for_weights if halves else 0
        change = {"F": 1, "B": left - 1, "W": -left}
        kept = most = 0
        for action in row:
            kept += change[action.kind]
            most = max(most, kept)
        found.append(most)
    return found


def in_slots(plan: Sequence[Timed], width: int = 3) -> str:
    """The plan as text, a line a stage, the last stage first, a column for each unit of time."""
    stages = 1 + max(one.stage for one in plan)
    slots = round(max(one.stop for one in plan))
    table = [["."] * slots for _ in range(stages)]
    for one in plan:
        for slot in range(round(one.start), round(one.stop)):
            table[one.stage][slot] = str(one.action)
    lines = []
    for stage in reversed(range(stages)):
        cells = "".join(f"{cell:>{width}}" for cell in table[stage])
        lines.append(f"stage {stage} {cells}")
    return "\n".join(lines)
