"""A decoder that many ranks hold together: who has which part of which parameter   (book section
2.2.3).

Every rank makes the whole model from one seed, as promises of its weights (nn/promised.py), keeps
its layers and its shares of them, and can put whole arrays together or cut them. So a checkpoint
has whole arrays, and any layout reads what another has written. Read first: mesh.py, stage.py.
Read next: step.py.
"""

import copy
import hashlib
import math
from collections.abc import Iterable, Iterator

import numpy as np

from tinylm.backend import device_of, to_cpu
from tinylm.errors import ConfigError
from tinylm.models.decoder.gpt import GPT
from tinylm.nn.module import Module
from tinylm.nn.promised import described, kept
from tinylm.optim.flat import flat_order
from tinylm.parallel.experts.routers import Routers, is_expert
from tinylm.parallel.mesh import Mesh
from tinylm.parallel.sequence.layers import Tokens, cut_sequences
from tinylm.parallel.stage import Stage, layers_of
from tinylm.parallel.tensor.layers import Stream
from tinylm.parallel.tensor.split import split_decoder


class Together:
    """A decoder that the ranks of a mesh hold together.

    model    GPT, with the same weights on every rank, of which only this rank's are drawn if it was
             made within nn.promised.promised(); it is cut, and not to be used afterwards
    mesh     Mesh
    raises   ConfigError for a layout that this decoder cannot have

    stages      list of Stage, this rank's
    parameters  {name in the whole model: this rank's share}
    cuts        {name: Cut}, of all parameters
    shapes      {name: (shape, dtype)} of the whole model's parameters
    settings    {name: array} of what it has besides, whole on every rank
    routers     Routers of its layers of experts
    training    whether dropout is on
    """

    def __init__(self, model: GPT, mesh: Mesh) -> None:
        self.mesh, self.config = mesh, model.config
        stages, chunks, layers = mesh.layout.pp, mesh.layout.chunks, model.config.n_layer
        _check_stages(layers, stages, chunks, model.config.kv_sharing)
        _check_equal(mesh.comm, model)
        named = model.named_parameters()
        self.shapes = {name: (p.shape, np.dtype(p.dtype)) for name, p in named.items()}
        self.settings = model.named_settings()
        self._order = [name for name, _ in flat_order(named)]
        stream = Stream(mesh.tp, 1 if mesh.layout.sequence and mesh.tp.size > 1 else None)
        device = device_of(next(iter(named.values())).data)
        tokens = Tokens(mesh.cp, mesh.layout.heads, device)
        self.routers = Routers(mesh, tokens, model.config)
        self.cuts = split_decoder(model, stream, tokens, self.routers)
        cut_sequences(model, tokens, mesh.tp.size)
        self.stages, self.parameters, self.training = [], {}, True
        for chunk in range(chunks):
            place = layers_of(
                chunk * stages + mesh.at["pp"], stages * chunks, layers, self.config.kv_sharing
            )
            # A shallow copy: chunks share the stream of dropout, and a tied table of tokens.
            self.stages.append(Stage(copy.copy(model), *place, stream, tokens))
            self.parameters |= self.stages[-1].whole_names()
        for parameter in self.parameters.values():
            parameter.data = kept(parameter.data)

    def modules(self) -> list[Module]:
        """All modules of this rank's stages."""
        return [module for stage in self.stages for module in stage.modules()]

    def train(self, mode: bool = True) -> None:
        """Switch dropout on or off."""
        self.training = mode
        for stage in self.stages:
            stage.train(mode)

    def gathered(self, pieces: Iterable[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Whole arrays on rank 0, where a checkpoint is written; nothing on the others.

        pieces   dicts {name: this rank's share}, of parameters or of numbers that belong to them;
                 every rank goes through all of them
        returns  {name: whole array} in the order of the whole model; {} on other ranks
        """
        comm, layout = self.mesh.comm, self.mesh.layout
        found = {}  # {name: {tensor rank: share}}
        for piece in pieces:
            for name, share in piece.items():
                if not self._tells(self.mesh.at, name):
                    continue
                if comm.rank:
                    _tell(comm, name, to_cpu(share))
                else:
                    found.setdefault(name, {})[0] = to_cpu(share)
        if comm.rank:
            if self._tells(self.mesh.at):
                _tell(comm, "", np.zeros(0))  # there is no more
            return {}
        for rank in range(1, comm.size):
            at = layout.coordinates(rank)
            while self._tells(at) and (told := _told(comm, rank))[0]:
                found.setdefault(told[0], {})[at["tp"]] = told[1]
        cuts, ranks = self.cuts, range(layout.tp)
        return {n: cuts[n].join([found[n][r] for r in ranks]) for n in self.shapes if n in found}

    def _tells(self, at, name=None):
        """Whether the rank at these coordinates tells rank 0 its share of a parameter, or of any:
        of ranks that hold the same the first one does.
        """
        if at["dp"] or at["cp"]:
            return False
        return name is None or not at["ep"] or is_expert(name)

    def gathered_buffer(self, pieces: Iterator) -> np.ndarray | None:
        """What a single process has in a flat buffer, (N,), on rank 0; None on other ranks."""
        found = self.gathered(pieces)
        if self.mesh.comm.rank:
            return None
        return np.concatenate([found[name].reshape(-1) for name in self._order])

    def own_buffer(self, whole: np.ndarray) -> dict[str, np.ndarray]:
        """{name: this rank's share} out of the flat buffer of a single process, (N,)."""
        named, start = {}, 0
        for name in self._order:
            shape, _ = self.shapes[name]
            stop = start + math.prod(shape)
            named[name] = whole[start:stop].reshape(shape)
            start = stop
        return self.own(named)

    def own(self, whole: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """{name: this rank's share} out of {name: whole array}, of what is there: NumPy arrays."""
        comm, names = self.mesh.tp, [name for name in self.parameters if name in whole]
        return {n: self.cuts[n].take(to_cpu(whole[n]), comm.rank, comm.size) for n in names}


def _check_stages(layers, stages, chunks, group):
    """Raise ConfigError if the layers, `group` of which stay together, are too few for all."""
    parts = -(-layers // group)
    if parts >= stages * chunks:
        return
    most = f"pp={parts // chunks}" if parts >= chunks else f"{parts} chunks, pp=1"
    what = f"{layers} layers"
    if group > 1:
        what += f", of which {group} share keys and values,"
    raise ConfigError(
        f"layout: {what} are too few for {stages} stages of {chunks} chunks; {most} can"
    )


def _check_equal(comm, model):
    """Raise ConfigError unless all ranks have made the same model."""
    found = hashlib.sha256()
    for name, parameter in model.named_parameters().items():
        found.update(name.encode() + described(parameter.data))
    own = np.frombuffer(found.digest(), np.uint8)
    if (comm.all_gather(own).reshape(comm.size, -1) != own).any():
        raise ConfigError("Together: the ranks have different weights; make all from one seed")


def _tell(comm, name, share):
    """Send rank 0 an array with its name."""
    text = f"{name} {share.dtype.str} {' '.join(map(str, share.shape))}".encode()
    comm.send(np.array([len(text)]), 0)
    comm.send(np.frombuffer(text, np.uint8).copy(), 0)
    comm.send(np.asarray(share, order="C"), 0)


def _told(comm, rank):
    """(name, array) that a rank tells; the last name is empty."""
    (length,) = comm.recv(np.zeros(1, np.int64), rank)
    text = bytes(comm.recv(np.zeros(length, np.uint8), rank)).decode()
    name, dtype, *shape = text.split(" ")
    return name, comm.recv(np.empty([int(n) for n in shape if n], dtype), rank)
