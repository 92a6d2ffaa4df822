"""The command line of a script that judges claims over seeds: --seed, --device, --quick.

Read first: compare.py, which holds the claims; cells.py, which keeps results. Read next:
picture.py, which draws them.
"""

import argparse
from collections.abc import Sequence

from tinylm import backend
from tinylm.train.experiments.compare import ONLY_RUNS
from tinylm.train.experiments.picture import add_plot

SEEDS, QUICK_SEEDS = 5, 2


def command_line(
    argv: Sequence[str],
    about: str,
    quick: str,
    first: int = 0,
    plot: bool = False,
    count: int = SEEDS,
) -> tuple[argparse.Namespace, range]:
    """The options --seed, --device and --quick, and the seeds: five, two with --quick.

    about   the script's docstring, whose first line --help shows
    quick   what --quick does, for --help
    first   the first seed, unless --seed is given
    plot    True: also --plot FILE, see picture.py
    count   how many seeds
    returns (options, range of seeds). The BLAS has one thread from here on, so that the time of the
            process is that of one core
    """
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--seed", type=int, default=first, help="the first of the seeds")
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--quick", action="store_true", help=quick)
    if plot:
        add_plot(parser)
    options = parser.parse_args(argv)
    backend.blas_threads(1)
    seeds = range(options.seed, options.seed + count)
    if options.quick:
        seeds = seeds[:QUICK_SEEDS]
        print(ONLY_RUNS)
    return options, seeds
