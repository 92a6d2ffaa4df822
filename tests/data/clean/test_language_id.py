"""Languages told apart by their letters."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.clean.language_id import LanguageId, character_ngrams
from tinylm.data.clean.language_samples import SAMPLES
from tinylm.errors import ConfigError, DataError

ALL = LanguageId()


@pytest.mark.parametrize(
    "language, text",
    [
        ("en", "The weather was fine this morning, so we walked to the market."),
        ("de", "Das Wetter war heute Morgen schön, deshalb gingen wir zum Markt."),
        ("fr", "Il faisait beau ce matin, alors nous sommes allés au marché."),
        ("es", "Hacía buen tiempo esta mañana, así que caminamos hasta el mercado."),
        ("it", "Stamattina il tempo era bello, quindi siamo andati al mercato."),
        ("nl", "Het weer was mooi vanmorgen, dus liepen we naar de markt."),
        ("tr", "Bu sabah hava güzeldi, bu yüzden pazara yürüdük."),
        ("ru", "Сегодня утром погода была хорошая, и мы пошли на рынок."),
        ("el", "Ο καιρός ήταν καλός σήμερα το πρωί και πήγαμε στην αγορά."),
        ("zh", "今天早上天气很好，所以我们走路去市场。"),
        ("ja", "今朝は天気が良かったので、市場まで歩きました。"),
    ],
)
def test_a_sentence_tells_its_language(language, text):
    assert ALL.detect(text)[0] == language


def test_halves_of_the_samples_recognize_the_other_halves():
    half = LanguageId({name: text[: len(text) // 2] for name, text in SAMPLES.items()})
    pieces = [
        (name, text[i : i + 120])
        for name, text in SAMPLES.items()
        for i in range(len(text) // 2, len(text) - 119, 120)
    ]
    right = sum(half.detect(piece)[0] == name for name, piece in pieces)
    # Measured: all of about 80. Spanish and Portuguese, Indonesian and Swahili are near; one in 20
    # may go wrong.
    assert right >= 0.95 * len(pieces) and len(pieces) > 60


def test_paragraphs_of_the_declaration_are_told_apart(data_dir):
    path = data_dir / "bitext" / "udhr_multi.tsv"
    codes = {
        "eng": "en",
        "fra": "fr",
        "deu_1996": "de",
        "spa": "es",
        "ita": "it",
        "por_PT": "pt",
        "nld": "nl",
        "ind": "id",
        "swh": "sw",
        "tur": "tr",
    }
    if not path.is_file():
        pytest.skip("the declaration in many languages is not there")
    rows = [line.rstrip("\n").split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    held_out = [
        (codes[name], text)
        for name, i, text in rows
        if name in codes and i.isdigit() and int(i) >= 30 and len(text) > 40
    ]
    right = sum(ALL.detect(text)[0] == language for language, text in held_out)
    assert (
        right >= 0.98 * len(held_out) and len(held_out) > 300
    )  # paragraphs after the samples; Latin script only


@given(st.text(max_size=60))
def test_probabilities_sum_to_one(text):
    assert np.logaddexp.reduce(ALL.log_probabilities(text)) == pytest.approx(0, abs=1e-9)


def test_ngrams_see_the_borders_of_words():
    assert character_ngrams("Ab!", (1, 2)) == {"a": 1, "b": 1, " a": 1, "ab": 1, "b ": 1}


def test_text_without_letters_has_no_language():
    assert ALL.detect("12 + 3 = 15 !") == (None, 0.0)
    assert not ALL.keeps("en")("12 + 3 = 15 !")


def test_a_rule_keeps_the_languages_it_names():
    keep = ALL.keeps("en", "de")
    assert keep("This is certainly an English sentence.") and keep(
        "Das ist ganz bestimmt ein deutscher Satz."
    )
    assert not keep("Ceci est certainement une phrase française.")
    with pytest.raises(DataError, match="no sample of 'xx'"):
        ALL.keeps("xx")


@pytest.mark.parametrize("samples", [{"en": "text"}, {"en": "text", "xx": "123"}])
def test_samples_that_cannot_be_told_apart_are_refused(samples):
    with pytest.raises(ConfigError, match="language id"):
        LanguageId(samples)
