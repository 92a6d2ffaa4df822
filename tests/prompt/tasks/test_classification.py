"""Three ways to classify: a mapped reply, a completed sentence, and the label of greatest
probability among the labels.
"""

import numpy as np
import pytest

from tests.prompt.small import END, text_model
from tinylm.data.read.items import Item
from tinylm.errors import DataError
from tinylm.generate import ConstrainedLM, StringSet, TokenAutomaton
from tinylm.generate.protocol.score import log_probabilities
from tinylm.prompt import ScriptedLM
from tinylm.prompt.tasks.classification import (
    ClassificationPrompt,
    classify_by_cloze,
    classify_by_scores,
    classify_generated,
    listed,
)
from tinylm.prompt.tasks.labels import LabelMapper, compliance_rate
from tinylm.prompt.template import LIBRARY

LABELS = ("positive", "negative", "neutral")
TEXT = "The tram was late, which was a bit annoying."
ITEM = Item(TEXT, "negative", LABELS)
DEMO = Item("A lovely evening.", "positive", LABELS)
PROMPT = LIBRARY["polarity"].format(text=TEXT) + "\n"


def test_the_prompts_for_polarity_are_those_of_the_book():
    assert ClassificationPrompt().prompt(ITEM) == PROMPT
    just = ClassificationPrompt(only_label=True)
    assert just.prompt(ITEM) == LIBRARY["polarity.just"].format(text=TEXT) + "\n"
    definitions = (
        ("positive", "the text conveys a positive emotion or attitude, such as happiness, "
         "satisfaction, excitement, or admiration"),
        ("negative", "the text expresses a negative emotion or attitude, such as sadness, anger, "
         "frustration, or criticism"),
        ("neutral", "the text does not express clear positive or negative emotion but rather "
         "conveys an informational, factual, or indifferent tone"),
    )  # fmt: skip
    defined = ClassificationPrompt(definitions=definitions).prompt(ITEM)
    book = LIBRARY["polarity.defined"].format(text=TEXT)
    assert f"{defined}What is the polarity of the text?" == book


def test_other_labels_have_other_words():
    topic = ClassificationPrompt("topic")
    assert topic.prompt(Item("Rain.", options=("sports", "weather"))) == (
        "Analyze the topic of the following text and classify it as sports or weather.\n"
        "Text:\nRain.\n"
    )
    assert topic.cloze == "The topic of the text is"
    assert listed(["a"]) == "a" and listed(["a", "b"]) == "a or b"
    assert listed(["a", "b", "c"]) == "a, b, or c"


def test_demonstrations_stand_before_the_text_with_their_answers():
    head = ClassificationPrompt().instruction(LABELS)
    assert ClassificationPrompt().prompt(ITEM, [DEMO]) == (
        f"{head}\nText:\nA lovely evening.\nThe polarity of the text is positive.\n\n"
        f"Text:\n{TEXT}\n"
    )
    question = "What is the polarity of the text?\nJust answer: positive, negative, or neutral.\n"
    assert ClassificationPrompt(only_label=True).prompt(ITEM, [DEMO]) == (
        f"{head}\nText:\nA lovely evening.\n{question}positive\n\nText:\n{TEXT}\n{question}"
    )
    with pytest.raises(DataError, match="a demonstration needs an answer"):
        ClassificationPrompt().prompt(ITEM, [Item("x", options=LABELS)])
    with pytest.raises(DataError, match="it has none"):
        ClassificationPrompt().prompt(Item("x"))


def test_a_free_reply_is_mapped():
    reply = "The polarity of the text can be classified as negative."
    lm = ScriptedLM([(PROMPT, reply + "\nText:\nMore.")])
    with lm.tracing() as trace:
        answer = classify_generated(lm, ITEM)
    assert answer.value == "negative" and answer.text == reply
    assert answer.details["mapped"].rule == "single"
    assert trace.calls[0].parsed == [("label", "negative")]
    assert classify_generated(ScriptedLM([(None, "Hard to tell.")]), ITEM).value is None
    mapper = LabelMapper(LABELS, {"negative": ["bad"]})
    shown = ClassificationPrompt().prompt(ITEM, [DEMO])
    lm = ScriptedLM([(shown, "Bad!")])
    assert classify_generated(lm, ITEM, [DEMO], mapper=mapper).value == "negative"


def test_a_sentence_is_completed_and_mapped():
    shown = ClassificationPrompt().prompt(ITEM, [DEMO])
    lm = ScriptedLM(
        [
            (PROMPT + "The polarity of the text is", " negative. Not positive"),
            (None, " green\npositive"),
        ]
    )
    answer = classify_by_cloze(lm, ITEM)
    assert answer.value == "negative" and answer.details["mapped"].rule == "exact"
    assert classify_by_cloze(lm, ITEM, [DEMO]).value is None  # the next line is not read
    assert lm.prompts[1] == shown + "The polarity of the text is"
    just = ClassificationPrompt(only_label=True)
    lm = ScriptedLM([(PROMPT + just.cloze, " I would say neutral")])
    assert classify_by_cloze(lm, ITEM, prompt=just).value == "neutral"


def test_the_label_of_greatest_probability_is_chosen():
    scores = {" positive": np.log(0.01), " negative": np.log(0.03), " neutral": np.log(0.02)}
    lm = ScriptedLM([(PROMPT + "The polarity of the text is", scores)])
    with lm.tracing() as trace:
        answer = classify_by_scores(lm, ITEM)
    assert answer.value == "negative" and trace.calls[0].parsed == [("label", "negative")]
    # Restricted to the labels: 0.03 of 0.06
    assert answer.details["probabilities"]["negative"] == pytest.approx(0.5)
    assert answer.details["probabilities"]["positive"] == pytest.approx(1 / 6)


def test_a_preference_for_a_label_is_divided_out():
    after = {" positive": np.log(0.3), " negative": np.log(0.2), " neutral": np.log(0.1)}
    without = {" positive": np.log(0.6), " negative": np.log(0.1), " neutral": np.log(0.1)}
    empty = PROMPT.replace(TEXT, "N/A") + "The polarity of the text is"
    script = {PROMPT + "The polarity of the text is": after, empty: without}
    assert classify_by_scores(ScriptedLM(script), ITEM).value == "positive"
    answer = classify_by_scores(ScriptedLM(script), ITEM, normalization="unconditional")
    assert answer.value == "negative"  # 0.2 / 0.1 is more than 0.3 / 0.6
    assert answer.details["probabilities"]["negative"] == pytest.approx(2 / 3.5)


def test_scores_are_the_probabilities_of_the_labels_bytes():
    lm = text_model(context=256)
    item = Item("ab", options=("a", "bc", "bd"))
    prompt = ClassificationPrompt("x")
    answer = classify_by_scores(lm, item, prompt=prompt)
    text = prompt.prompt(item) + "The x of the text is"
    ids = [END, *text.encode()]
    sums = []
    for label in item.options:
        tokens, total = list(ids), 0.0
        for byte in f" {label}".encode():
            logits = lm.opened.lm.logits(np.array([tokens]))[0, -1]
            total += log_probabilities(logits)[byte]
            tokens.append(byte)
        sums.append(total)
    np.testing.assert_allclose(answer.details["scores"].sums, sums, rtol=1e-6)
    assert answer.value == item.options[int(np.argmax(sums))]


def test_labels_of_one_token_are_a_masked_softmax_and_constrained_decoding_agrees():
    lm = text_model(context=256, seed=3)
    item = Item("ab", options=("a", "b", "c"))
    answer = classify_by_scores(lm, item)
    prompt = ClassificationPrompt().prompt(item) + "The polarity of the text is "
    ids = np.array([[END, *prompt.encode()]])
    logits = lm.opened.lm.logits(ids)[0, -1].astype(np.float64)
    three = logits[list(b"abc")]  # all others masked
    shares = np.exp(three - three.max())
    expected = shares / shares.sum()
    found = [answer.details["probabilities"][label] for label in item.options]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    # Renormalizing over the labels leaves the best one the best.
    assert answer.value == item.options[int(expected.argmax())]
    # Decoding that can only write a label writes this one, so it always complies.
    automaton = TokenAutomaton(StringSet(item.options), lm.tokenizer, END)
    constrained = ConstrainedLM(lm.opened.lm, automaton, ids[0])
    best = int(constrained.logits(ids)[0, -1].argmax())
    assert chr(best) == answer.value
    assert compliance_rate([chr(best)], item.options) == 1.0


def test_any_of_many_labels_can_be_chosen():
    labels = tuple(f"class {chr(97 + i // 8)}{chr(97 + i % 8)}" for i in range(64))
    item = Item("x", options=labels)
    for best in (0, 17, 63):
        scores = {f" {label}": -float(i != best) for i, label in enumerate(labels)}
        answer = classify_by_scores(ScriptedLM([(None, scores)]), item)
        assert answer.value == labels[best]
        # At chance all 64 are alike.
        assert answer.details["probabilities"][labels[best]] > 1 / 64
