"""What the NCCL engine needs of CuPy, how its ranks find a GPU and each other, and the notes that
they exchange beside it.

Read next: nccl.py.
"""

import ast
import importlib
import socket
import zlib
from types import SimpleNamespace
from typing import Any

import numpy as np

from tinylm.backend import backend
from tinylm.errors import ConfigError, DtypeError, MissingExtra
from tinylm.parallel.communicate.communicator import describe
from tinylm.parallel.communicate.simulator import Simulated

ID = 128  # bytes of NCCL's unique id
NOTE = 256  # bytes of the text of a call or of a message


class CuPy:
    """What the engine needs of CuPy: NCCL, pointers, and whether the GPU has finished.

    raises  MissingExtra without CuPy or NCCL, DeviceError without a GPU
    """

    device = "gpu"

    def __init__(self) -> None:
        self._cupy, self._beside = backend("gpu").module, None
        self.nccl = importlib.import_module("cupy.cuda.nccl")  # cupy.cuda does not import it
        if not self.nccl.available:
            raise MissingExtra(
                "CuPy finds no NCCL here: python -m cupyx.tools.install_library --library nccl, or "
                "pip install nvidia-nccl-cu12 (-cu13), as cupy.show_config() says"
            )

    def choose(self, local: int) -> None:
        """Use the GPU of this number; raises ConfigError if there are fewer."""
        count = self._cupy.cuda.runtime.getDeviceCount()
        if local >= count:
            raise ConfigError(
                f"NCCL needs a GPU for every process: this is process {local + 1} of its machine, "
                f"which has {count}; start at most {count} there"
            )
        self._cupy.cuda.Device(local).use()

    def pointer(self, array: np.ndarray) -> int:
        """Address of the first element."""
        return array.data.ptr

    def stream(self, beside: bool = False) -> Any:
        """Handle of the stream on which the arrays are computed; or of one that goes on beside it,
        and begins when what it has been given so far is done.
        """
        cuda = self._cupy.cuda
        if not beside:
            return cuda.get_current_stream().ptr
        if self._beside is None:
            self._beside = cuda.Stream(non_blocking=True)
        self._beside.wait_event(self._recorded(cuda.get_current_stream()))
        return self._beside.ptr

    def mark(self, beside: bool = False) -> Any:
        """An object whose `done` is True once that stream has done all that it was given so far."""
        return self._recorded(self._beside if beside else self._cupy.cuda.get_current_stream())

    def _recorded(self, stream):
        event = self._cupy.cuda.Event(disable_timing=True)
        event.record(stream)
        return event


def local_rank(control: Simulated) -> int:
    """Which of the processes of its machine this one is: they are counted in rank order."""
    name = zlib.crc32(socket.gethostname().encode())
    names = control.all_gather(np.array(name, np.int64))
    return int((names[: control.rank] == name).sum())


def packed_id(unique: bytes | tuple[int, ...]) -> np.ndarray:
    """NCCL's unique id, bytes or, in older CuPy, a tuple of signed ones, as (1 + ID,) uint8."""
    signed = not isinstance(unique, bytes)
    return np.array([signed, *(value % 256 for value in unique)], np.uint8)


def unpacked_id(note: np.ndarray) -> bytes | tuple[int, ...]:
    """The inverse of packed_id()."""
    if note[0]:
        return tuple(note[1:].view(np.int8).tolist())
    return note[1:].tobytes()


def contiguous(array: np.ndarray) -> np.ndarray:
    """The array, or a copy of it, in row-major order."""
    if array.flags.c_contiguous:
        return array
    return array.copy()


def padded(flat: np.ndarray, length: int) -> np.ndarray:
    """A 1-D array with zeros behind it; itself if it is so long."""
    if len(flat) == length:
        return flat
    out = np.zeros_like(flat, shape=(length,))
    out[: len(flat)] = flat
    return out


def note_of(text: str) -> np.ndarray:
    """A text as (NOTE,) uint8, cut to that length."""
    return np.frombuffer(text.encode()[:NOTE].ljust(NOTE), np.uint8).copy()


def text_of(note: np.ndarray) -> str:
    """The inverse of note_of()."""
    return note.tobytes().decode(errors="replace").rstrip()


def message_text(array: np.ndarray, here: bool, direct: bool) -> str:
    """What the note before a message says."""
    return f"{int(here)} {int(direct)} {describe(array)}"


def read_message(note: np.ndarray) -> Any:
    """The note before a message: here (on the GPU), direct (GPU to GPU), text, dtype and shape."""
    here, direct, text = text_of(note).split(" ", 2)
    dtype, shape = text.split(" ", 1)
    return SimpleNamespace(
        here=here == "1",
        direct=direct == "1",
        text=text,
        dtype=np.dtype(dtype),
        shape=ast.literal_eval(shape),
    )


def combining(nccl: Any, call: str, array: np.ndarray, op: str) -> Any:
    """How NCCL is told to combine an array: its `type`, `lanes` of it an element, its `op`.

    nccl     cupy.cuda.nccl;  call  named in errors
    raises  DtypeError for a type that it cannot combine so
    """
    name, lanes = array.dtype.name, 1
    if name == "bool":  # a sum of bools is whether any is True
        name, op = "uint8", {"sum": "max"}.get(op, op)
    elif array.dtype.kind == "c" and op == "sum":
        name, lanes = f"float{array.dtype.itemsize * 4}", 2
    known = getattr(nccl, f"NCCL_{name.upper()}", None)
    if known is None:
        raise DtypeError(
            f"{call}: NCCL has no {op} of {array.dtype}; it has 8-, 32- and 64-bit "
            "integers and floats of 16, 32 and 64 bits: array.astype(one of these)"
        )
    return SimpleNamespace(type=known, lanes=lanes, op=getattr(nccl, f"NCCL_{op.upper()}"))
