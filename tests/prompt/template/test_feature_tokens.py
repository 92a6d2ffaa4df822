"""A feature in front of a text is a condition that a model can learn."""

import numpy as np
import pytest

from tinylm.errors import ConfigError, DataError
from tinylm.finetune import fit
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.finetune.instruct.vocabulary import add_special
from tinylm.models import GPT, GPTConfig
from tinylm.prompt.template.feature_tokens import FeatureTokens
from tinylm.tokenizers import ByteTokenizer

FORMALITY = FeatureTokens({"formality": ("formal", "informal")})


def test_features_stand_before_the_text():
    assert FORMALITY.tokens == ("<formal>", "<informal>")
    assert FORMALITY.mark("How are you?", formality="formal") == "<formal> How are you?"
    two = FeatureTokens({"formality": ("formal", "informal"), "length": ("short", "long", "any")})
    assert two.tokens == ("<formal>", "<informal>", "<short>", "<long>", "<any>")
    assert two.mark("x", length="any", formality="informal") == "<informal> <any> x"


def test_as_ids_they_are_special_tokens_that_no_text_can_hold():
    tokenizer = add_special(ByteTokenizer(), FORMALITY.tokens)
    ids = FORMALITY.ids(tokenizer, "<formal>", formality="informal")
    assert ids == [tokenizer.special["<informal>"], *b"<formal>"]
    with pytest.raises(ConfigError, match="no special token <formal>"):
        FORMALITY.ids(ByteTokenizer(), "x", formality="formal")


def test_what_does_not_fit_is_refused():
    for features in ({"a": ("x",)}, {"a": ("x", "x")}, {"a": ("x", "y"), "b": ("y", "z")}):
        with pytest.raises(ConfigError, match="two values or more, all different"):
            FeatureTokens(features)
    for values in ({}, {"formality": "formal", "tone": "x"}, {"tone": "formal"}):
        with pytest.raises(DataError, match=r"the features are \['formality'\]"):
            FORMALITY.mark("x", **values)
    with pytest.raises(DataError, match="formality is 'rude'; it can be formal, informal"):
        FORMALITY.mark("x", formality="rude")


def test_the_translation_changes_with_the_feature():
    # 100 steps at this rate learn four pairs in every one of five seeds tried (0 .. 4).
    tokenizer = add_special(ByteTokenizer(), (*FORMALITY.tokens, "<end>"))
    end = tokenizer.special["<end>"]
    pairs = {
        "you": {"formal": "Sie", "informal": "du"},
        "bye": {"formal": "leben Sie", "informal": "tschau"},
    }
    examples = []
    for text, translations in pairs.items():
        for value, translation in translations.items():
            prompt = FORMALITY.ids(tokenizer, text, formality=value)
            examples.append(encode_sft(prompt, [*translation.encode(), end]))
    model = GPT(GPTConfig(tokenizer.vocab_size, 24, 2, 2, 16), 0, np.float32)
    task = InstructionTuning(tokenizer=tokenizer, end=end, max_tokens=12)
    fit(model, task, examples, steps=100, batch_size=4, learning_rate=1e-2)
    written = task.predict(model, task.make_batch(examples))
    assert written == ["Sie", "du", "leben Sie", "tschau"]
