"""What every stage of a pipeline does, and in which order, as data   (book section 2.2.3).

A schedule is a list of actions for each stage: F, the forward pass of a micro-batch through the
stage's layers, and B, its backward pass. Virtual stage v = chunk p + stage has the chunk-th part of
the layers of a stage, so that with c chunks the layers go round c times.

    naive         one micro-batch: a stage waits for all others         (model parallelism)
    gpipe         all forward passes, then all backward ones            (Huang et al. 2019)
    1f1b          one forward, one backward, as soon as a stage can     (Harlap et al. 2018)
    interleaved   the same with several chunks a stage                  (Narayanan et al. 2021)

With p stages, m micro-batches, c chunks and the time of all of a stage's passes for a micro-batch
as the unit, a step takes m + (p-1) / c instead of m: the share (p-1) / (c m + p-1) of it is idle,
the bubble. GPipe keeps the activations of m micro-batches, 1F1B of at most p. Read next: run.py.
"""

from dataclasses import dataclass

from tinylm.errors import ConfigError


@dataclass(frozen=True)
class Action:
    """A pass of a micro-batch through a chunk of a stage: kind "F" or "B".

    As text F0, and of the second chunk on with its letter: F0b.
    """

    kind: str
    micro: int
    chunk: int = 0

    def __str__(self):
        letter = "" if not self.chunk else chr(ord("a") + self.chunk)
        return f"{self.kind}{self.micro}{letter}"


def gpipe(stages, micros, chunks=1):
    """All forward passes, then all backward ones: a list of Actions for each stage."""
    order = range(chunks)
    ahead = [Action("F", k, c) for c in order for k in range(micros)]
    back = [Action("B", k, c) for c in reversed(order) for k in range(micros)]
    return [ahead + back for _ in range(stages)]


def one_f_one_b(stages, micros, chunks=1):
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


SCHEDULES = {"gpipe": gpipe, "1f1b": one_f_one_b}


def schedule(name, stages, micros, chunks=1):
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


def timed(actions, forward=1.0, backward=1.0, overhead=0.0, hop=0.0):
    """When everything happens, if each stage starts an action as soon as it can.

    actions    a schedule
    forward, backward  time of a stage for a micro-batch, all its chunks together
    overhead   of every action;  hop  until what it sends has arrived
    returns    list of Timed, in the order in which they start
    raises     ConfigError if the order of some stage can never be done
    """
    p = len(actions)
    chunks = 1 + max((a.chunk for row in actions for a in row), default=0)
    spans = {"F": forward / chunks + overhead, "B": backward / chunks + overhead}
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


def needed(action, stage, stages, chunks):
    """The passes that must be done before: list of (Action, stage)."""
    virtual = action.chunk * stages + stage
    last = stages * chunks - 1
    if action.kind == "F":
        return [_pass("F", action.micro, virtual - 1, stages)] if virtual else []
    own = [(Action("F", action.micro, action.chunk), stage)]
    if virtual < last:
        own.append(_pass("B", action.micro, virtual + 1, stages))
    return own


def _pass(kind, micro, virtual, stages):
    chunk, stage = divmod(virtual, stages)
    return Action(kind, micro, chunk), stage


def bubble(plan):
    """The idle share of all stages' time, of a list of Timed."""
    total = max(one.stop for one in plan)
    stages = 1 + max(one.stage for one in plan)
    return 1 - sum(one.stop - one.start for one in plan) / (stages * total)


def most_kept(actions):
    """The most passes of which each stage keeps activations at a time: a list."""
    found = []
    for row in actions:
        kept = most = 0
        for action in row:
            kept += {"F": 1, "B": -1}[action.kind]
            most = max(most, kept)
        found.append(most)
    return found


def in_slots(plan, width=3):
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
