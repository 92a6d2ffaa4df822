"""The command line of scripts that judge claims over seeds."""

from pathlib import Path

import pytest

from tinylm.train.experiments.compare import ONLY_RUNS
from tinylm.train.experiments.script import command_line

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"
# Scripts whose --quick shows what they claim, in less time.
QUICK_SHOWS = {
    "2_1_language_models/model_sizes.py": "counts in closed form; nothing to shorten",
    "engine_tour.py": "always quick",
    "2_3_long_sequences/position_biases.py": "always quick",
    "2_1_language_models/shannon_entropy.py": "exact counts of a fifth of the text",
    "1_pretraining/tokenizer_kinds.py": "counts of a fifth of the text",
    "2_2_3_parallel_training/planner_accuracy.py": "errors over two splits of the same tables",
    "2_2_training_at_scale/data_mixture.py": "three seeds of ten",
    "2_2_training_at_scale/memorization.py": "three seeds of eight",
    "2_2_training_at_scale/data_funnel.py": "a third of the pages",
    "2_2_training_at_scale/rank_collapse.py": "two seeds of ten, of numbers that hardly differ",
    "2_3_long_sequences/fixed_size_memory.py": "two seeds of ten, of numbers that hardly differ",
    "2_3_long_sequences/streaming_memory.py": "counts of operations and bytes",
    "2_3_long_sequences/quantized_weights.py": "errors of eight matrices",
}
SAYS = "print(ONLY_RUNS)", "command_line(", "main_of(", "from design_figures import"

ABOUT = "One line.\n\nAnd more."


def test_five_seeds_from_the_first_one():
    options, seeds = command_line([], ABOUT, "less")
    assert list(seeds) == [0, 1, 2, 3, 4] and options.device == "cpu" and not options.quick
    assert list(command_line([], ABOUT, "less", first=7)[1]) == [7, 8, 9, 10, 11]
    assert list(command_line(["--seed", "3"], ABOUT, "less", first=7)[1]) == [3, 4, 5, 6, 7]
    assert list(command_line([], ABOUT, "less", count=7)[1]) == list(range(7))
    assert list(command_line(["--quick"], ABOUT, "less", count=7)[1]) == [0, 1]


def test_quick_is_two_seeds_and_says_that_it_shows_nothing(capsys):
    options, seeds = command_line(["--quick", "--seed", "5"], ABOUT, "less")
    assert list(seeds) == [5, 6] and options.quick
    assert capsys.readouterr().out == f"{ONLY_RUNS}\n"
    command_line([], ABOUT, "less")
    assert capsys.readouterr().out == ""


def test_a_picture_where_there_is_one(capsys):
    pytest.importorskip("matplotlib")
    options, _ = command_line(["--plot", "x.png"], ABOUT, "less", plot=True)
    assert options.plot == "x.png" and command_line([], ABOUT, "less", plot=True)[0].plot is None
    for wrong in (["--plot", "x.png"], ["--device", "phone"]):
        with pytest.raises(SystemExit):
            command_line(wrong, ABOUT, "less")
    capsys.readouterr()


def test_help_begins_with_the_first_line(capsys):
    with pytest.raises(SystemExit):
        command_line(["--help"], ABOUT, "half of the steps")
    shown = capsys.readouterr().out
    assert "One line." in shown and "And more." not in shown and "half of the steps" in shown


@pytest.mark.skipif(not SCRIPTS.is_dir(), reason="only the package is installed")
def test_a_quick_run_shows_what_it_claims_or_says_that_it_only_runs():
    quick = {
        path.relative_to(SCRIPTS).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(SCRIPTS.rglob("*.py"))
    }
    quick = {name: text for name, text in quick.items() if '"--quick"' in text or "(ONLY" in text}
    assert len(quick) > 50
    silent = {name for name, text in quick.items() if not any(words in text for words in SAYS)}
    assert silent == set(QUICK_SHOWS)
