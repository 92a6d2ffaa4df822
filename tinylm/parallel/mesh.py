"""Which rank does what: a grid of ranks with an axis for every kind of parallelism   (book section
2.2.3, "together with other mechanisms").

    tp   tensor: ranks that share every matrix      cp   context: ranks that share every sequence
    dp   data: ranks that share the batch           pp   pipeline: ranks that share the layers
    ep   experts: ranks that share the batch, and the experts of every layer

Ranks of one tensor group are neighbors, as they exchange most, then come those of a context group,
an expert group, a data group, and last the stages of a pipeline, which exchange least. Ranks along
ep are data ranks as to what they read, so the batch is shared by dp x ep; as to what they hold they
are not. (DeepSpeed and Megatron-LM call all of them data ranks, and let ep divide dp: their dp=4,
ep=2 is dp=2,ep=2 here, where sizes multiply to the number of ranks.) Read next: collectives.py.
"""

from dataclasses import dataclass, fields, replace

from tinylm.errors import ConfigError
from tinylm.parallel.communicate.communicator import Communicator
from tinylm.parallel.pipeline.schedules import SCHEDULES, schedule

AXES = ("tp", "cp", "ep", "dp", "pp")  # the fastest first


@dataclass(frozen=True)
class Layout:
    """How many ranks share what: `dp` x `tp` x `pp` x `cp` x `ep` in all.

    dp, tp, pp, cp, ep  sizes of the grid
    sequence        True: between the cut matrices, ranks of a tensor group share the tokens too
                    (Korthikanti et al. 2022)
    chunks          of the layers of a stage, which follow one another   (interleaved)
    schedule        of the pipeline, a name of pipeline/schedules.py
    heads           True: ranks of a context group share the heads while they attend, and the tokens
                    otherwise (Jacobs et al. 2023); False: keys and values go round a ring
    zero            what data ranks share beside the batch, a stage of ZeRO: 0 nothing, 1 the
                    optimizer's state, 2 gradients too, 3 parameters too   (zero/__init__.py)
    raises          ConfigError for a size below 1, a schedule or a stage that there is not, or
                    a schedule without chunks
    """

    dp: int = 1
    tp: int = 1
    pp: int = 1
    cp: int = 1
    sequence: bool = False
    chunks: int = 1
    schedule: str = "1f1b"
    heads: bool = False
    zero: int = 1
    ep: int = 1

    def __post_init__(self) -> None:
        for name in (*AXES, "chunks"):
            if getattr(self, name) < 1:
                raise ConfigError(f"layout: {name}={getattr(self, name)}, must be 1 or more")
        if not 0 <= self.zero <= 3:
            raise ConfigError(f"layout: zero={self.zero}, the stages of ZeRO are 0, 1, 2 and 3")
        if self.schedule not in SCHEDULES:
            raise ConfigError(
                f"layout: no schedule {self.schedule!r}, choose one of {', '.join(SCHEDULES)}"
            )
        schedule(self.schedule, self.pp, self.pp, self.chunks)  # raises if it has no chunks

    @property
    def size(self) -> int:
        """Ranks in all."""
        return self.dp * self.tp * self.pp * self.cp * self.ep

    def coordinates(self, rank: int) -> dict[str, int]:
        """{axis: index} of a rank."""
        found = {}
        for axis in AXES:
            found[axis] = rank % getattr(self, axis)
            rank //= getattr(self, axis)
        return found

    def __str__(self) -> str:
        named = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                named.append(field.name if value is True else f"{field.name}={value}")
        return ",".join(named) or "dp=1"


def parse_layout(text: str) -> Layout:
    """A Layout out of "dp=2,tp=2,sequence": numbers and names after `=`, switches alone.

    raises  ConfigError for what is no layout, with the names there are
    """
    known = {field.name: type(field.default) for field in fields(Layout)}
    given = {}
    for part in filter(None, text.split(",")):
        name, equals, value = part.strip().partition("=")
        if name in given:
            raise ConfigError(f"layout {text!r}: {name} is given twice")
        kind = known.get(name)
        if kind is bool and not equals:
            given[name] = True
        elif kind is int and value.isdecimal():
            given[name] = int(value)
        elif kind is str and value:
            given[name] = value
        else:
            listed = [FORMS[kind].format(name) for name, kind in known.items()]
            raise ConfigError(
                f"layout {text!r}: {part.strip()!r} is not one of {', '.join(listed)}"
            )
    return Layout(**given)


FORMS = {int: "{}=N", str: "{}=NAME", bool: "{}"}


class Mesh:
    """The place of a rank in a Layout, and the communicators of its groups.

    comm     Communicator of all ranks, `layout.size` of them
    tp, cp, ep, dp, pp  communicators of the ranks that differ from this one along that axis alone
    data     of those that differ along dp or cp: they read different tokens with the same weights
    rows     of those that differ along dp or ep: they share the batch
    readers  of those that differ along dp, cp or ep: between them they read the whole batch
    ends     of the first and the last stage, which both hold a tied table of tokens; None on the
             others, and where there is one stage
    raises   ConfigError if the ranks are not as many as the layout needs
    """

    def __init__(self, comm: Communicator, layout: Layout) -> None:
        self.check(layout, comm.size)
        self.comm, self.layout = comm, layout
        self.at = layout.coordinates(comm.rank)
        self.tp, self.cp, self.ep, self.dp, self.pp = (self._group(comm, (a,)) for a in AXES)
        self.data = self._group(comm, ("dp", "cp"))
        self.rows, self.readers = self.dp, self.data
        if layout.ep > 1:
            self.rows = self._group(comm, ("dp", "ep"))
            self.readers = self._group(comm, ("dp", "cp", "ep"))
        self.first = self.at["pp"] == 0
        self.last = self.at["pp"] == layout.pp - 1
        self.ends = None
        if layout.pp > 1:
            self.ends = comm.split(self._color(("pp",)) if self.first or self.last else None)

    @staticmethod
    def check(layout: Layout, ranks: int) -> None:
        """Raise ConfigError, naming the nearest layout, unless this one is of so many ranks."""
        if ranks != layout.size:
            raise ConfigError(
                f"layout {layout}: needs {layout.size} ranks, there are {ranks}; "
                f"{_nearest(layout, ranks)} fits"
            )

    def _group(self, comm, axes):
        return comm.split(self._color(axes))

    def _color(self, axes):
        """A number that ranks have in common if they differ along `axes` alone."""
        color = 0
        for axis in AXES:
            if axis not in axes:
                color = color * getattr(self.layout, axis) + self.at[axis]
        return color


def _nearest(layout, size):
    """A layout for `size` ranks that keeps what it can of this one: tensor, pipeline, context,
    experts.
    """
    kept, left = {}, size
    for axis in ("tp", "pp", "cp", "ep"):
        wanted = min(getattr(layout, axis), left)
        kept[axis] = max(n for n in range(1, wanted + 1) if left % n == 0)
        left //= kept[axis]
    flags = {
        "sequence": layout.sequence and kept["tp"] > 1,
        "heads": layout.heads and kept["cp"] > 1,
    }
    return replace(layout, dp=left, **flags, **kept)
