"""Machines as numbers: what a GPU computes, holds and reads a second, and the wires around it.

Every number is from a public data sheet, named below; rates are of one direction. What a program
reaches of them is not said here: that is constants.py. A machine of one's own is a JSON file with
the same fields (`tinylm plan --hardware mine.json`). Read next: shapes.py.
"""

import dataclasses
import difflib
from dataclasses import dataclass

from tinylm.errors import ConfigError
from tinylm.fields import Fields
from tinylm.files import read_json

# NVIDIA A100 Tensor Core GPU data sheet (2021): dense 16-bit rate, NVLink 600 GB/s both ways.
A100_PEAK, A100_LINK, A100_UNITS = 312e12, 300e9, 108
A100_40_BANDWIDTH, A100_80_BANDWIDTH = 1.555e12, 2.039e12
# NVIDIA H100 Tensor Core GPU data sheet (2023), SXM: dense 16-bit rate, NVLink 900 GB/s both ways.
H100_PEAK, H100_BANDWIDTH, H100_LINK, H100_UNITS = 989.4e12, 3.35e12, 450e9, 132
H200_BANDWIDTH, H200_MEMORY = 4.8e12, 141e9  # NVIDIA H200 data sheet (2024)
# NVIDIA V100 Tensor Core GPU data sheet (2020), SXM2: NVLink 300 GB/s both ways.
V100_PEAK, V100_BANDWIDTH, V100_LINK, V100_UNITS = 125e12, 0.9e12, 150e9, 80
# DGX A100 and DGX H100 data sheets: eight adapters of 200 and of 400 Gb/s a node.
DGX_A100_NETWORK, DGX_H100_NETWORK = 8 * 200e9 / 8, 8 * 400e9 / 8
DGX_1_NETWORK = 4 * 100e9 / 8  # DGX-1 with V100: four adapters of 100 Gb/s
# Hopper runs the matrix instructions of Ampere at 62.9 % of its peak on average (Luo et al. 2024,
# "Benchmarking and Dissecting the Nvidia Hopper GPU Architecture"). Kernels not rewritten for it
# use them, such as FlashAttention 1 and 2.
HOPPER_OLD_INSTRUCTIONS = 0.629


@dataclass(frozen=True)
class Hardware:
    """A cluster of equal nodes. Fields are numbers, or arrays (n,) for a table of n runs.

    peak               dense 16-bit matrix operations a second, of one GPU
    memory, bandwidth  bytes, and bytes a second
    units              multiprocessors, which take tiles of a product
    old_instructions   share of the peak that kernels written for the generation before reach
    generation         8 Ampere, 9 Hopper: chooses the constant of matrix products
    link               bytes a second from a GPU to the others of its node
    node               GPUs in a node
    network            bytes a second out of a node, all adapters together
    """

    name: str
    peak: float
    memory: float
    bandwidth: float
    units: int
    old_instructions: float
    generation: int
    link: float
    node: int
    network: float

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            # Arrays are made by measured.py, of machines that were checked.
            if isinstance(value, (int, float)) and value <= 0:
                raise ConfigError(f"hardware: {field.name} must be above 0, not {value}")
        share = self.old_instructions
        if isinstance(share, (int, float)) and share > 1:
            raise ConfigError(f"hardware: old_instructions is a share, at most 1, not {share}")


def _dgx_a100(name, memory, bandwidth, network=DGX_A100_NETWORK):
    return Hardware(name, A100_PEAK, memory, bandwidth, A100_UNITS, 1.0, 8, A100_LINK, 8, network)


def _dgx_h100(name, memory, bandwidth):
    return Hardware(
        name,
        H100_PEAK,
        memory,
        bandwidth,
        H100_UNITS,
        HOPPER_OLD_INSTRUCTIONS,
        9,
        H100_LINK,
        8,
        DGX_H100_NETWORK,
    )


MACHINES = {
    "a100": _dgx_a100("a100", 80e9, A100_80_BANDWIDTH),
    "a100-40": _dgx_a100("a100-40", 40e9, A100_40_BANDWIDTH),
    # The cluster of the vTrain measurements: nodes with four adapters of 200 Gb/s.
    "a100-vtrain": _dgx_a100("a100-vtrain", 80e9, A100_80_BANDWIDTH, 4 * 200e9 / 8),
    "h100": _dgx_h100("h100", 80e9, H100_BANDWIDTH),
    "h200": _dgx_h100("h200", H200_MEMORY, H200_BANDWIDTH),
    "v100": Hardware(
        "v100", V100_PEAK, 32e9, V100_BANDWIDTH, V100_UNITS, 1.0, 7, V100_LINK, 8, DGX_1_NETWORK
    ),
}


def machine(name: str) -> Hardware:
    """A machine of MACHINES by name, or the one that a JSON file describes.

    name     of MACHINES, or a path that ends in .json
    returns  Hardware
    raises   ConfigError for an unknown name, or a file that is not exactly the fields of Hardware
    """
    if name in MACHINES:
        return MACHINES[name]
    if name.endswith(".json"):
        return read_hardware(name)
    near = difflib.get_close_matches(name, MACHINES, n=2)
    hint = f"choose one of {', '.join(MACHINES)}, or give a file that ends in .json"
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    raise ConfigError(f"no hardware {name!r}: {hint}")


def read_hardware(path: str) -> Hardware:
    """The machine in a JSON file: an object with exactly the fields of Hardware.

    raises   ConfigError naming the file and the field that is missing, unknown or no such number
    """
    try:
        value = read_json(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from None
    found = Fields(value, path, ConfigError).arguments(Hardware)
    try:
        return Hardware(**found)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
