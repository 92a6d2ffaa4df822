"""Tasks are balanced, counted and filtered as asked."""

import itertools
import math
from collections import Counter

import pytest

from tinylm.data.mix.instruction_mixture import (
    answer_repeats_question,
    by_task,
    empty_answer,
    filtered,
    longer_than,
    mix_datasets,
    mix_tasks,
    seen_before,
    some_tasks,
    task_weights,
)
from tinylm.data.mix.mixture import MixtureSampler
from tinylm.data.read.instructions import Conversation, Instruction
from tinylm.errors import ConfigError

SAMPLES = [
    Instruction(f"{task} {i}", "yes", task=task)
    for task, n in (("a", 1), ("b", 4), ("c", 16))
    for i in range(n)
]


def test_weights_are_powers_of_the_sizes():
    assert task_weights(SAMPLES) == pytest.approx({"a": 1 / 21, "b": 4 / 21, "c": 16 / 21})
    assert task_weights(SAMPLES, temperature=2) == pytest.approx(
        {"a": 1 / 7, "b": 2 / 7, "c": 4 / 7}
    )  # roots of 1, 4, 16
    assert task_weights(SAMPLES, temperature=math.inf) == pytest.approx(dict.fromkeys("abc", 1 / 3))
    assert task_weights(SAMPLES, limit=1) == pytest.approx(dict.fromkeys("abc", 1 / 3))
    for limit in 0, -1, math.nan:
        with pytest.raises(ConfigError, match="it must be positive"):
            task_weights(SAMPLES, limit=limit)
    assert task_weights(SAMPLES, limit=4) == pytest.approx({"a": 1 / 9, "b": 4 / 9, "c": 4 / 9})


def test_a_mixture_has_the_shares_asked_and_reads_each_task_evenly():
    drawn = mix_tasks(SAMPLES, 3000, temperature=math.inf, seed=1)
    counts = Counter(sample.task for sample in drawn)
    # 1000 each, +- 4 standard deviations of sqrt(3000 * 1/3 * 2/3) = 26
    assert all(abs(counts[task] - 1000) < 104 for task in "abc")
    of_b = Counter(sample.instruction for sample in drawn if sample.task == "b")
    assert max(of_b.values()) - min(of_b.values()) <= 1  # whole epochs, and one begun
    assert (
        mix_tasks(SAMPLES, 3000, temperature=math.inf, seed=1)
        == drawn
        != mix_tasks(SAMPLES, 3000, math.inf, seed=2)
    )


def test_the_tasks_come_in_the_order_of_a_mixture_of_texts():
    """The first of all draws is drawn too: the stream is that of MixtureSampler.mix."""
    drawn = mix_tasks(SAMPLES, 50, temperature=math.inf, seed=1)
    texts = MixtureSampler([1, 1, 1], seed=1).mix([lambda: ["text"]] * 3)
    sources = [source for source, _ in itertools.islice(texts, 50)]
    assert [sample.task for sample in drawn] == ["abc"[source] for source in sources]


def test_fewer_tasks_are_among_more():
    sets = [set(by_task(some_tasks(SAMPLES, n, seed=3))) for n in (1, 2, 3)]
    assert [len(s) for s in sets] == [1, 2, 3] and sets[0] < sets[1] < sets[2]
    for count in 0, 4:
        with pytest.raises(ConfigError, match=f"{count} of 3 tasks"):
            some_tasks(SAMPLES, count)


def test_more_tasks_at_a_fixed_number_of_samples_are_fewer_of_each():
    for count, each in ((1, 60), (2, 30), (3, 20)):
        mixed = mix_tasks(some_tasks(SAMPLES, count, seed=3), 60, temperature=math.inf)
        found = Counter(sample.task for sample in mixed)
        assert len(mixed) == 60 and len(found) == count
        # drawn: three standard deviations of 60 draws are 12 at most
        assert all(abs(n - each) <= 12 for n in found.values())


def test_filters_count_what_they_take():
    samples = [
        *(Instruction("q", answer) for answer in ("", "q", "a", "a", "a" * 99)),
        Conversation((("user", "a"),)),
    ]
    kept, reasons = filtered(
        samples, empty_answer, answer_repeats_question, longer_than(50), seen_before()
    )
    assert kept == [samples[2]]
    assert reasons == {
        "empty answer": 2,
        "answer repeats the question": 1,
        "too long": 1,
        "seen before": 1,
    }


def test_a_judge_is_a_filter():
    kept, _ = filtered(SAMPLES, lambda sample: None if sample.task == "a" else "scored low")
    assert kept == SAMPLES[:1]


def test_instructions_among_pretraining_text_have_the_share_asked():
    drawn = list(
        itertools.islice(mix_datasets(["text"] * 7, ["told", "asked"], 0.25, seed=2), 2000)
    )
    share = sum(document != "text" for document in drawn) / 2000
    assert abs(share - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 2000)  # four standard deviations
    assert abs(drawn.count("told") - drawn.count("asked")) <= 1
    assert set(itertools.islice(mix_datasets(["text"], [], 0), 10)) == {"text"}
    assert set(itertools.islice(mix_datasets([], ["told"], 1), 10)) == {"told"}
    for ratio in -0.1, 1.1:
        with pytest.raises(ConfigError, match=f"ratio {ratio} must be from 0 to 1"):
            mix_datasets(["text"], ["told"], ratio)
