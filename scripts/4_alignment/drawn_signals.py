"""What --plot of two long scripts draws: teaching_signals.py and preference_sources.py.

Read first: either of them; what a picture can show is in tinylm/train/experiments/panel.py.
"""

from tinylm.train.experiments.picture import Picture


def over_seeds(tables, column=None):
    """{name: values of all seeds} of a table of each seed, or of one of its columns."""
    if column is None:
        return {name: [one[name] for one in tables] for name in tables[0]}
    return {name: [one[name][column] for one in tables] for name in tables[0]}


def teaching(path, taught, rounds, students, losses, stops):
    """The four parts of teaching_signals.py; nothing without a path.

    taught, rounds, students, losses  a table of each seed, as run() returns them
    stops  the two numbers of steps after which losses were taken
    """
    if not path:
        return
    with Picture(path, rows=2, columns=2, size=(4.8, 3.2)) as picture:
        panel = picture.panel("three families", "share of replies")
        polite, right = (over_seeds(taught, column) for column in (0, 1))
        panel.bars({name: {"polite": polite[name], "right": right[name]} for name in polite}, ".2f")
        panel.axes.set_xlim(0, 1.15)
        panel = picture.panel("corrections", "round", "share of wrong answers")
        for name, values in over_seeds(rounds).items():
            wrong = [one[:-1] for one in values]  # the last is the share right at the end
            panel.curve(name, range(1, len(wrong[0]) + 1), wrong)
        panel.axes.set_ylim(0, 1.05)
        panel = picture.panel("a teacher", "share right")
        panel.bars(over_seeds(students, 0), ".3f")
        panel.axes.set_xlim(0, 1.15)
        panel = picture.panel("help of a weak model", "loss of held-out texts (nats per token)")
        found = {f"after {n} steps": over_seeds(losses, k) for k, n in enumerate(stops)}
        panel.bars(found, ".3f", zero=False)


def sources(path, dpo, diverse, mixed, chosen):
    """The four parts of preference_sources.py; nothing without a path.

    dpo, diverse, mixed, chosen  a table of each seed, as run() returns them
    """
    if not path:
        return
    with Picture(path, rows=2, columns=2, size=(4.8, 3.2)) as picture:
        picture.panel("DPO, by where its pairs come from", "gold - beta KL").bars(
            over_seeds(dpo, 0), ".2f"
        )
        counts = list(diverse[0])
        panel = picture.panel(
            "writers of the candidates", "writers", "share of pairs in order", xticks=counts
        )
        for name, column in (("a stranger's pairs", 1), ("the reference's pairs", 2)):
            values = over_seeds(diverse, column)
            panel.curve(name, counts, list(zip(*(values[count] for count in counts))))
        found = over_seeds(mixed, 0)
        shares = sorted({share for _, share in found})
        panel = picture.panel(
            "labels of people and of a model",
            "share of a model's labels",
            "share of pairs in order",
            xticks=shares,
        )
        for total in sorted({total for total, _ in found}):
            values = [found[total, share] for share in shares]
            panel.curve(f"{total} labels", shares, list(zip(*values)))
        picture.panel("training on chosen responses", "gold reward").bars(
            over_seeds(chosen, 0), ".2f"
        )
