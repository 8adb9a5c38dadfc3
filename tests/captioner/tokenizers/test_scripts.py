# ruff: noqa: RUF001 - letters that look like others are what is tested
"""Words of any script, kept whole; and the rules by which words were cut before."""

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captioner.checkpoint import load_checkpoint, read_header
from captioner.errors import ConfigError
from captioner.tokenizers import WORD_RULES, WordTokenizer, WordTokenizerRule1, tokenizer_from_dict

CLITICS = ["n't", "'s", "'d", "'re", "'ve", "'ll", "'m"]
PIECES = [*"antsdxI' -&·_", *CLITICS, "\u0301", "\u0307", "\u094d", "\u0345", "\u200c", "\u200d", "\u180e", "\u00ad"]
PIECES += [
    "\u05be",
    "\u2011",
    "\u1100",
    "\u1161",
    "\u11a8",
    "\u3099",
    "\u212b",
    "\ufe0f",
    "İ",
    "Σ",
    "क",
    "か",
    "ش",
    "犬",
]
MIXED = st.lists(st.sampled_from(PIECES)).map("".join)  # rare sequences, made frequent
ANYTHING = st.text() | MIXED
ASCII = st.text(st.characters(max_codepoint=0x7F)) | st.lists(st.sampled_from([*"antsd' -&._0", *CLITICS])).map("".join)
unhurried = settings(deadline=None)

CAPTIONS = {  # the words of each stand between blanks, as whoever wrote it would count them
    "Latin, composed": "Un élève mange une crème brûlée",
    "Latin, decomposed": unicodedata.normalize("NFD", "Une élève mange à Çeşme, près d'ici"),
    "Vietnamese, decomposed": unicodedata.normalize("NFD", "Một con chó đang chạy"),
    "Turkish": "İstanbul'da İki köpek IŞIKTA",
    "Greek": "Ο ΣΚΎΛΟΣ τρέχει ᾳ ᾼ",
    "Cyrillic": unicodedata.normalize("NFD", "Собака й ёж її"),
    "Devanagari": "एक कुत्ता पानी में दौड़ रहा है क्‍ष",
    "Bengali": "একটি কুকুর দৌড়াচ্ছে র‍্যাম",
    "Tamil": "ஒரு நாய் ஓடுகிறது கொ",
    "Telugu": "ఒక కుక్క నడుస్తోంది",
    "Kannada": "ಒಂದು ನಾಯಿ ಓಡುತ್ತಿದೆ",
    "Thai": "สุนัขวิ่ง น้ำ",
    "Khmer": "ឆ្កែ កំពុង រត់",
    "Burmese": "ခွေး ပြေးနေသည်",
    "Tibetan": "ཁྱི་ རྒྱུག".replace("་", ""),
    "Arabic, vowelled": "كَلْبٌ يَجْرِي فِي الـمَاءِ",
    "Hebrew, pointed": "הַכֶּלֶב רָץ אֶל־הַבַּיִת ג׳ירפה שׁ",
    "Persian": "سگ می‌رود خانه‌ها",
    "Korean": "개가 달린다",
    "Korean, decomposed": unicodedata.normalize("NFD", "개가 달린다"),
    "Chinese": "一只狗在跑",
    "Chinese, cut": "一只 狗 在 跑",
    "Japanese, decomposed": unicodedata.normalize("NFD", "犬が パンを 食べる"),
    "Sinhala": "ශ්‍රී බල්ලා දුවයි",
    "Malayalam": "ഒരു നായ അവന്‍ ഓടുന്നു",
    "Amharic": "ውሻ ይሮጣል",
}


def written(caption: str) -> str:
    """Return a caption as its words stand in a vocabulary: composed and in lower case."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", caption).lower()).replace(",", "")


@pytest.mark.parametrize("script", CAPTIONS)
def test_words_of_any_script_come_back_whole(script: str) -> None:
    caption = CAPTIONS[script]
    tokenizer = WordTokenizer.learn([caption])
    assert tokenizer.split(caption) == written(caption).split()
    assert tokenizer.decode(tokenizer.encode(caption)) == written(caption)
    for form in ("NFC", "NFD"):
        assert tokenizer.encode(unicodedata.normalize(form, caption)) == tokenizer.encode(caption)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("काम।\u200c \u200dघर", ["काम", "घर"]),  # a joiner that joins nothing is none
        ("رفته\u200c، خانه", ["رفته", "خانه"]),
        ("അവന്\u200d.", ["അവന്\u200d"]),  # but after a virama it says how the letter is written
        ("Süßig\u00adkeit \u200fכלב\u200f \ufeffdog", ["süßigkeit", "כלב", "dog"]),
        ("a red\u2011headed boy\u2010ish", ["a", "red-headed", "boy-ish"]),
        ("la col·lecció · l’avi", ["la", "col·lecció", "l'avi"]),
        ("\u0301 x \u0301y ❤\ufe0f z", ["x", "y", "z"]),  # marks without a letter
        ("x\u0302's n\u0308't", ["x\u0302", "'s", "n\u0308't"]),
        ("สุนัข\u200bวิ่ง", ["สุนัข", "วิ่ง"]),  # the zero-width space parts words
        ("Σ ΟΔΌΣ", ["σ", "οδός"]),
    ],
)
def test_marks_joiners_and_what_cannot_be_seen(text: str, words: list[str]) -> None:
    assert WordTokenizer.split(text) == words


@unhurried
@given(text=ANYTHING)
def test_words_are_composed_and_a_decomposed_text_has_the_same(text: str) -> None:
    words = WordTokenizer.split(text)
    assert all(unicodedata.is_normalized("NFC", word) for word in words)
    assert WordTokenizer.split(unicodedata.normalize("NFD", text)) == words


@unhurried
@given(text=ASCII)
def test_all_rules_cut_ascii_alike(text: str) -> None:
    words = WordTokenizer.split(text)
    assert all(kind.split(text) == words for kind in WORD_RULES.values())


def test_every_rule_stands_under_its_number() -> None:
    assert {number: kind.rule for number, kind in WORD_RULES.items()} == {1: 1, 2: 2}
    assert WordTokenizer.rule == max(WORD_RULES)


@pytest.mark.parametrize("kind", WORD_RULES.values())
def test_a_file_is_read_by_the_rule_it_was_made_by(kind: type[WordTokenizer]) -> None:
    made = kind.learn([*CAPTIONS.values(), "a dog's ball"])
    read = tokenizer_from_dict(json.loads(json.dumps(made.to_dict())))
    assert type(read) is kind
    assert read.to_dict() == made.to_dict()
    assert [read.encode(text) for text in CAPTIONS.values()] == [made.encode(text) for text in CAPTIONS.values()]


def test_files_without_a_rule_keep_the_first_one_exactly() -> None:
    old = tokenizer_from_dict({"name": "word", "vocabulary": ["e", "le", "ve", "dog", "'s"]})
    assert type(old) is WordTokenizerRule1
    assert old.split(unicodedata.normalize("NFD", "Élève, the dog’s")) == ["e", "le", "ve", "the", "dog", "'s"]
    assert old.split("कुत्ता") == ["क", "त", "त"]
    assert old.to_dict() == {"name": "word", "vocabulary": ["e", "le", "ve", "dog", "'s"]}


def test_the_shipped_file_keeps_the_rule_it_was_made_by() -> None:
    described = read_header()["tokenizer"]
    tokenizer = load_checkpoint().tokenizer
    assert tokenizer.to_dict() == described
    assert isinstance(tokenizer, WordTokenizer)
    assert tokenizer.rule == described.get("rule", 1)


@pytest.mark.parametrize("rule", [0, 3, "2", None, True, 2.0])
def test_unknown_rules_are_refused(rule: object) -> None:
    with pytest.raises(ConfigError, match=r"words are cut by rule .*; this version of Captioner knows: 1, 2"):
        tokenizer_from_dict({"name": "word", "rule": rule, "vocabulary": []})
