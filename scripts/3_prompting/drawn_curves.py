"""What --plot of two long scripts draws: regression_in_context.py and samples_and_verifiers.py.

Read first: either of them; what a picture can show is in tinylm/train/experiments/panel.py.
"""

import numpy as np

from tinylm.train.experiments.picture import Picture


def regression(path, runs):
    """Errors after k examples in every class, and of every model on every class; nothing without a
    path. runs: of regression_in_context.run().
    """
    if not path:
        return
    worlds = [name for name in runs[0] if name not in ("elsewhere", "across")]
    with Picture(path, rows=2, columns=3, size=(4.4, 3.2)) as picture:
        for world in worlds:
            y = "error / that of predicting 0"
            panel = picture.panel(world, "examples before", y, yscale="log")
            for name in runs[0][world][0]:
                values = np.array([r[world][0][name] for r in runs], float)
                # An error of rounding alone, or of noise that was fitted exactly, is no curve.
                panel.curve(name, range(values.shape[1]), np.where(values < 1e-3, np.nan, values))
        panel = picture.panel("after the last example", "tested on", "trained on")
        table = [
            [np.mean([r["across"][trained, tested] for r in runs]) for tested in worlds]
            for trained in worlds
        ]
        panel.matrix(table, "error / that of predicting 0", worlds, worlds, ".2f")
        panel.axes.tick_params(axis="x", labelsize=7)


def samples(path, runs):
    """Votes, an exact verifier and one that errs over the samples, and the course of refinement;
    nothing without a path. runs: of samples_and_verifiers.run().
    """
    if not path:
        return
    sizes = [n for n in runs[0]["sampled"] if isinstance(n, int)]
    titles = {
        "votes": ("vote", "vote, law", "vote, binomial"),
        "an exact verifier": ("exact verifier", "pass@n", "mean p alone", "plug-in"),
        "1 verdict in 5 is wrong": ("errs", "errs, law", "errs by text"),
    }
    with Picture(path, rows=2, columns=2) as picture:
        for title, names in titles.items():
            panel = picture.panel(title, "samples", "share right", xscale="log", xticks=sizes)
            for name in names:
                panel.curve(name, sizes, [[r["sampled"][n][name] for n in sizes] for r in runs])
        panel = picture.panel("refinement", "refinements", "share right")
        for name in ("course", "law"):
            values = np.array([r["compared"][name] for r in runs])
            panel.curve(name, range(values.shape[1]), values)
