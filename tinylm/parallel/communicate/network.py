"""What messages cost: links with a latency and a bandwidth, and machines of several ranks.

A message of S bytes takes alpha + S / beta over a link of latency alpha and bandwidth beta, the
model by which collectives are compared (Thakur, Rabenseifner and Gropp 2005). With it, n ranks
need for an array of S bytes, if all links are alike,

    all_reduce        2 (n-1) (alpha + S / (n beta))       by a ring
    reduce_scatter      (n-1) (alpha + S / (n beta))
    all_gather          (n-1) (alpha + s / beta)           s bytes from each rank
    broadcast       ceil(log2 n) (alpha + S / beta)        along a tree
    all_to_all          (n-1) alpha + s / beta             s bytes from the rank with most to send
    barrier        2 ceil(log2 n) alpha
    split          0                                       groups are made once

Among links of several kinds the slowest that the group uses decides. Read next: simulator.py.
"""

from dataclasses import dataclass

from tinylm.errors import ConfigError


@dataclass(frozen=True)
class Link:
    """A way between two ranks.

    latency    alpha, seconds until the first byte arrives
    bandwidth  beta, bytes a second
    raises     ConfigError for a negative latency, or a bandwidth that is not above 0
    """

    latency: float
    bandwidth: float

    def __post_init__(self) -> None:
        if not self.latency >= 0 or not self.bandwidth > 0:
            raise ConfigError(
                f"Link: a latency of 0 s or more and a bandwidth above 0 bytes/s are needed, "
                f"got {self.latency} and {self.bandwidth}"
            )

    def time(self, nbytes: float) -> float:
        """Seconds of a message: alpha + S / beta."""
        return self.latency + nbytes / self.bandwidth


INSTANT = Link(0.0, float("inf"))


@dataclass(frozen=True)
class Network:
    """Ranks in nodes, as GPUs in servers: a fast link inside, a slower one between.

    inside    Link of two ranks of one node
    between   Link of ranks of different nodes; None: as inside
    per_node  ranks of a node: 0 .. per_node-1 are the first; None: all are in one node
    """

    inside: Link = INSTANT
    between: Link | None = None
    per_node: int | None = None

    def __post_init__(self) -> None:
        if self.per_node is not None and self.per_node < 1:
            raise ConfigError(f"Network: per_node {self.per_node}; a node has at least one rank")

    def node(self, rank: int) -> int:
        """The number of the node that a rank is in."""
        if self.per_node is None:
            return 0
        return rank // self.per_node

    def link(self, one: int, other: int) -> Link:
        """The Link between two ranks."""
        if self.between is None or self.node(one) == self.node(other):
            return self.inside
        return self.between

    def slowest(self, members: tuple[int, ...]) -> Link:
        """The Link that decides for a group: between nodes, if it has ranks of several."""
        if self.between is None or len({self.node(rank) for rank in members}) == 1:
            return self.inside
        return self.between

    def collective(self, call: str, nbytes: int, members: tuple[int, ...]) -> float:
        """Seconds of a collective operation, once all ranks are there.

        call     all_reduce, reduce_scatter, all_gather, broadcast, all_to_all, barrier or split
        nbytes   S or s of the module's docstring
        members  ranks of the group
        """
        n, link = len(members), self.slowest(members)
        if n == 1:
            return 0.0
        doublings = (n - 1).bit_length()  # ceil(log2 n)
        steps, size = {
            "all_reduce": (2 * (n - 1), nbytes / n),
            "reduce_scatter": (n - 1, nbytes / n),
            "all_gather": (n - 1, nbytes),
            "broadcast": (doublings, nbytes),
            "all_to_all": (n - 1, nbytes / (n - 1)),
            "barrier": (2 * doublings, 0),
            "split": (0, 0),
        }[call]
        return steps * link.time(size)
