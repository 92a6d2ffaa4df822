"""Pipelines and all-reduces on simulated machines, as the simulator recorded them (book section
2.2.3).

A small decoder is trained for one step on four ranks under every schedule: each pass lets its time
go by on the rank's clock, and messages take none. The all-reduces run on ranks that write down
their array before and after every message. Read first: parallel/pipeline/schedules.py,
parallel/communicate/rings.py, parallel/communicate/simulator.py.
"""

import contextlib
from typing import TYPE_CHECKING

import numpy as np

from tinylm.explore.page import Figure, source_of
from tinylm.models import GPT, GPTConfig
from tinylm.parallel.communicate.network import Link, Network
from tinylm.parallel.communicate.rings import (
    doubling_all_reduce,
    naive_all_reduce,
    ring_all_reduce,
    tree_all_reduce,
)
from tinylm.parallel.communicate.simulator import Simulated, simulate
from tinylm.parallel.mesh import Layout, Mesh
from tinylm.parallel.pipeline.run import Pipeline
from tinylm.parallel.pipeline.schedules import (
    Timed,
    bubble,
    most_kept,
    schedule,
    stalled,
)
from tinylm.parallel.together import Together
from tinylm.pretrain import CausalLM

if TYPE_CHECKING:
    from tinylm.explore.at_hand import AtHand


STAGES, MICROS = 4, 8
# (name, schedule, micro-batches, chunks of a stage, what it does)
PLANS = (
    ("one after another", "naive", MICROS, 1, "One stage computes, the others wait."),
    ("GPipe", "gpipe", MICROS, 1, "All forward passes, then all backward passes."),
    ("1F1B", "1f1b", MICROS, 1, "One forward, one backward: as short, but fewer passes are kept."),
    ("interleaved 1F1B", "1f1b", MICROS, 2, "Two chunks a stage: less waiting, more kept."),
    (
        "ZB-H1",
        "zb-h1",
        MICROS,
        1,
        "Gradients of weights (W) fill the gaps; 1F1B's memory.",
    ),
    ("ZB-H2", "zb-h2", MICROS, 1, "More passes ahead: between its first and last no stage waits."),
)
# Time of a stage for a micro-batch, in units of a forward pass: a backward pass takes two of them,
# one for the cotangent of the input and one for the gradients of the weights.
FORWARD, HALF = 1.0, 1.0

RANKS = 4
ROUTES = {
    "ring": (ring_all_reduce, "Pieces go round twice: first they are summed, then spread."),
    "recursive doubling": (doubling_all_reduce, "Ranks at distance 1, 2, ... exchange their sums."),
    "tree": (tree_all_reduce, "Sums go up a tree to rank 0, and the total comes down."),
    "all to rank 0": (naive_all_reduce, "All send to rank 0, which adds up and sends back."),
}
PIECE = 8  # bytes: one float64
# A message takes 1 and, for the whole array, 1 more.
NETWORK = Network(Link(1.0, float(RANKS * PIECE)))


def pipeline_timeline(name: str, stages: int, micros: int, chunks: int = 1) -> dict:
    """One training step of a small decoder on simulated ranks, under a schedule.

    name, micros, chunks   as of schedules.schedule();  stages  ranks
    returns  {"passes": list of [stage, kind, micro-batch, chunk, start, stop] in units of a forward
             pass, "time": when the last is done, "bubble", "stalled": waiting of each stage between
             its first and its last pass, "kept": the most passes kept on each stage}
    """
    actions = schedule(name, stages, micros, chunks)
    by_text = {str(action): action for row in actions for action in row}
    halves = any(action.kind == "W" for action in by_text.values())
    spans = {"F": FORWARD, "B": HALF if halves else 2 * HALF, "W": HALF}
    config = GPTConfig(vocab_size=11, context=6, n_layer=stages * chunks, n_head=1, d_model=4)
    rows = np.random.default_rng(0).integers(0, 11, (micros, 1, 7))
    batches = [CausalLM().make_batch(row) for row in rows]

    def loss_of(logits, batch):
        loss = (logits * logits).mean()
        return loss, 1.0, float(loss.item())

    def program(comm):
        layout = Layout(pp=stages, chunks=chunks, schedule=name)
        together = Together(GPT(config, 0), Mesh(comm, layout))

        def passed(action):
            comm.elapse(spans[action.kind] / chunks, str(action))

        pipeline = Pipeline(together.stages, together.mesh.pp, name, passed)
        pipeline.run(batches, loss_of, lambda k: contextlib.nullcontext())

    found = simulate(program, stages)
    plan = [
        Timed(span.rank, by_text[span.what], span.start, span.stop)
        for span in found.spans
        if span.what in by_text
    ]
    plan.sort(key=lambda one: (one.start, one.stage))
    first = plan[0].start
    return {
        "passes": [
            [
                one.stage,
                one.action.kind,
                one.action.micro,
                one.action.chunk,
                one.start - first,
                one.stop - first,
            ]
            for one in plan
        ],
        "time": max(one.stop for one in plan) - first,
        "bubble": bubble(plan),
        "stalled": stalled(plan),
        "kept": most_kept(actions),
    }


class Watched:
    """A communicator that writes down an array before every message, and what is sent of it."""

    def __init__(self, comm: Simulated, array: np.ndarray) -> None:
        self.rank, self.size = comm.rank, comm.size
        self.comm, self.array = comm, array
        self.states, self.sent = [], []

    def look(self) -> None:
        """Keep what the array holds now."""
        self.states.append((self.comm.clock, self.array.copy()))

    def _note(self, part, to):
        # Where the part lies in the array, from its address.
        begin = self.array.__array_interface__["data"][0]
        start = (part.__array_interface__["data"][0] - begin) // self.array.itemsize
        self.sent.append((to, start, start + part.size))

    def send(self, array: np.ndarray, to: int) -> None:
        """As the communicator's."""
        self.look()
        self._note(array, to)
        self.comm.send(array, to)

    def recv(self, like: np.ndarray, source: int) -> np.ndarray:
        """As the communicator's."""
        self.look()
        return self.comm.recv(like, source)

    def sendrecv(self, array: np.ndarray, to: int, like: np.ndarray, source: int) -> np.ndarray:
        """As the communicator's."""
        self.look()
        self._note(array, to)
        return self.comm.sendrecv(array, to, like, source)


def all_reduce_frames(name: str) -> dict:
    """An all-reduce message by message. Rank r begins with 10^r in every piece: the digits of a sum
    say which ranks are in it.

    name     of ROUTES
    returns  {"frames": list of {"time", "arrays": (ranks, pieces), "messages": list of [source, to,
             first piece, last piece + 1, bytes]}, the beginning first; "time"; "busiest": bytes
             that the rank with most to send has sent}
    """
    route = ROUTES[name][0]

    def program(comm):
        watched = Watched(comm, np.full(RANKS, 10.0**comm.rank))
        route(watched, watched.array)
        watched.look()
        return watched.states, watched.sent

    found = simulate(program, RANKS, network=NETWORK)
    parts = [iter(sent) for _, sent in found.results]
    messages = []
    for message in found.messages:  # of each rank in the order in which it sent them
        to, start, stop = next(parts[message.source])
        messages.append((message.arrived, [message.source, to, start, stop, message.nbytes]))
    frames = []
    for time in [0.0, *sorted({arrived for arrived, _ in messages})]:
        # The last state that a rank wrote down until now.
        arrays = [
            [array for when, array in states if when <= time][-1] for states, _ in found.results
        ]
        came = [message for arrived, message in messages if arrived == time and time > 0]
        frames.append({"time": time, "arrays": np.array(arrays), "messages": came})
    sent = [sum(m[4] for _, m in messages if m[0] == rank) for rank in range(RANKS)]
    return {"frames": frames, "time": found.seconds, "busiest": max(sent)}


def figures(at_hand: "AtHand") -> list[Figure]:
    """The pipelines and the all-reduces. Nothing of a run is in them."""
    plans = [
        {"name": name, "schedule": kind, "about": about, "chunks": chunks}
        | pipeline_timeline(kind, STAGES, micros, chunks)
        for name, kind, micros, chunks, about in PLANS
    ]
    text = (
        f"{STAGES} stages train on {MICROS} micro-batches: each row is a stage, each box a pass of "
        "a micro-batch, forward (F) or backward (B; in ZB only the input's half, and W the "
        "weights'). Empty is waiting. Book section 2.2.3; code: "
        f"`{source_of(schedule)}`, recorded by `{source_of(simulate)}`."
    )
    data = {"stages": STAGES, "micros": MICROS, "plans": plans}
    found = [Figure("pipeline", "Pipelines: who computes what, when", text, data)]
    routes = [
        {"name": name, "about": about, "file": source_of(function)} | all_reduce_frames(name)
        for name, (function, about) in ROUTES.items()
    ]
    text = (
        f"{RANKS} ranks sum their arrays by messages alone. Rank r begins with 10^r in each of its "
        "pieces, so the digits of a number say who is in it: 1111 is the sum. Book sections 2.2.3, "
        f"2.3.1; code: `{source_of(ring_all_reduce)}`."
    )
    data = {"ranks": RANKS, "routes": routes, "latency": 1.0, "whole": 1.0}
    return [*found, Figure("rings", "An all-reduce, message by message", text, data)]
