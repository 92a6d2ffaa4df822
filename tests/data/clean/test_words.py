"""Words by script: where there are no spaces, a letter is a word."""

import pytest

from tinylm.data.clean import cleaning, quality, repetition
from tinylm.data.clean.classifier import hashed_words
from tinylm.data.clean.contamination import Contamination
from tinylm.data.clean.dedup import NearDuplicates
from tinylm.data.clean.pipeline import Pipeline, standard_steps
from tinylm.data.clean.privacy import masked
from tinylm.data.clean.toxicity import WordList
from tinylm.data.clean.words import comparable, words, words_of
from tinylm.data.measure.answers import answer_words

CHINESE = (
    "春天来了，河边的柳树发芽了。孩子们在草地上放风筝，老人坐在长椅上聊天。远处的山还有一点雪，"
    "可是阳光已经很暖和。晚上我们去城里看电影，然后走路回家，月亮又大又圆。"
)
JAPANESE = (
    "春になると川のそばの柳が芽を出します。子どもたちは野原で凧をあげ、お年寄りはベンチで話をします。"
    "遠くの山にはまだ雪が残っていますが、日差しはもう暖かいです。夜は町で映画を見ました。"
)
THAI = (
    "เมื่อฤดูร้อนมาถึง แม่น้ำหน้าบ้านของเราก็แห้งลงมาก เด็กหลายคนออกไปเล่นว่าวกลางทุ่งนา "
    "ส่วนผู้เฒ่านั่งคุยกันใต้ต้นไม้ใหญ่ ตอนเย็นพวกเราเดินทางไปตลาดเพื่อซื้อปลาและผักสด"
)
HINDI = "किताबें पढ़ना मुझे अच्छा लगता है"


def test_a_letter_is_a_word_where_there_are_no_spaces():
    assert words("我爱北京 and Python3!") == ["我", "爱", "北", "京", "and", "python3"]
    assert words("コーヒー") == ["コ", "ー", "ヒ", "ー"]
    assert words_of("你好。 Hi, 你") == ["你", "好。", "Hi,", "你"]


def test_marks_stay_with_their_letter():
    assert words(HINDI) == [comparable(word) for word in HINDI.split()]
    assert words("น้ำ")[0] == "น้\u0e4d"  # sara am is two characters in NFKC
    assert words("e\u0301te\u0301") == ["\u00e9t\u00e9"]


@pytest.mark.parametrize(
    "a, b",
    [
        ("Caf\u00e9", "CAFE\u0301"),
        ("ＡＢＣ", "abc"),
        ("ｶﾞ", "ガ"),
        ("Straße", "STRASSE"),
        ("می\u200cروم", "میروم"),
    ],
)
def test_one_word_in_two_spellings_is_one_word(a, b):
    assert words(a) == words(b) != []


@pytest.mark.parametrize("text, language", [(CHINESE, "zh"), (JAPANESE, "ja"), (THAI, "th")])
def test_prose_without_spaces_passes_every_standard_step(text, language):
    pipeline = Pipeline(standard_steps((language,)))
    assert list(pipeline([text])) == [text], pipeline.report()
    for rule in repetition.gopher_repetition().values():
        assert rule(text)


@pytest.mark.parametrize("text", [CHINESE, JAPANESE, THAI])
def test_rules_still_see_what_is_wrong_without_spaces(text):
    assert not repetition.few_repeated_ngrams()(text[:20] * 30)
    assert not quality.word_count(50)(text[:20])
    assert not Contamination([text])(text + "end")
    near = NearDuplicates(0.6)
    assert near(text) and not near(text[:-3])
    assert cleaning.at_least_sentences(3)(text) and cleaning.sentence_lines(text) == text


def test_word_lists_and_names_work_without_spaces():
    assert WordList(["坏蛋"]).share("他是坏蛋。") == 1 / 4
    assert masked("请找王小明谈谈", names=["王小明"]) == "请找[NAME]谈谈"
    assert masked("邮箱是ada@example.com谢谢") == "邮箱是[EMAIL]谢谢"
    assert masked("电话030-1234567号") == "电话[PHONE]号"
    assert masked("Anna", names=["Ann"]) == "Anna"  # where there are spaces, borders count


def test_answers_and_features_know_the_same_words():
    assert answer_words("北京。") == answer_words("北 京") == ["北", "京"]
    assert list(hashed_words("कि", 1 << 20)[0]) != list(hashed_words("क", 1 << 20)[0])
    assert len(hashed_words("北京", 1 << 20)[0]) == 3  # two letters and their pair


def test_texts_without_a_letter_are_not_copies_of_each_other():
    near = NearDuplicates()
    assert all(near(text) for text in ["!!!", "???", "😀😀", "* * *", "1 2 3", "4 5 6"])
    assert Contamination(["!!!"])("???")
    assert not near("!!!")  # itself again
