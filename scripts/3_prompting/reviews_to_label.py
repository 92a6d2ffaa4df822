"""The labelled reviews of several scripts, and the command line that names their folder.

Sentences about products, films and restaurants (Kotzias et al. 2015), each with 0 or 1, in
sentiment/*.txt. Those of all files are one pool, so a draw mixes the three. Read next:
few_shot_reviews.py, prompt_variants.py, prompt_forms.py, option_scores.py, soft_prompts.py.
"""

import argparse
import os
from pathlib import Path

from tinylm.data.read.items import Item
from tinylm.data.read.labeled import read_labeled
from tinylm.train.experiments.compare import ONLY_RUNS
from tinylm.train.experiments.picture import add_plot

LABELS = "negative", "positive"


def labelled_reviews(argv, about, quick, plot=""):
    """The options --data, --seed, --device and --quick, and the reviews as questions.

    about    the script's docstring, whose first line --help shows
    quick    what --quick does, for --help
    plot     what the option --plot draws, for --help; "": there is no such option
    returns  (options, list of Item with LABELS as options). Without files there is none, and a line
             says so
    """
    parser = argparse.ArgumentParser(description=about.split("\n")[0])
    parser.add_argument(
        "--data", default=os.environ.get("TINYLM_DATA"), help="has sentiment/*.txt; or TINYLM_DATA"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument("--device", default="cpu", help="cpu or gpu")
    parser.add_argument("--quick", action="store_true", help=quick)
    if plot:
        add_plot(parser, plot)
    options = parser.parse_args(argv)
    files = []
    if options.data:
        files = sorted(Path(options.data, "sentiment").glob("*.txt"))
    if not files:
        print("no reviews to label: give --data DIR with sentiment/*.txt")
    elif options.quick:
        print(ONLY_RUNS)
    examples = [example for file in files for example in read_labeled(file)]
    return options, [Item(text, LABELS[label], LABELS) for text, label in examples]


def right_labels(probabilities, items):
    """Which of n Items have their most probable label: (n,) bool.

    probabilities  (n, labels), in the order of LABELS
    """
    # item.gold is the place of the right answer among LABELS, the columns of the probabilities.
    return probabilities.argmax(-1) == [item.gold for item in items]
