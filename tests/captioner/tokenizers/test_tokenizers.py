"""Text to ids and back: what every tokenizer keeps to, and how each of them cuts."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from captioner.errors import ConfigError, OptionError
from captioner.tokenizers import TOKENIZERS, CharacterTokenizer, Tokenizer, WordTokenizer, tokenizer_from_dict
from captioner.tokenizers.word import join_words, split_words

CLITICS = ["n't", "'s", "'d", "'re", "'ve", "'ll", "'m"]
ODD = [
    "\0",
    "\r\n",
    "\t",
    "\u0301",
    "\u094d",
    "\u200c",
    "\u200d",
    "\u00ad",
    "\u05be",
    "\u2011",
    "\u1100",
    "\u1161",
    "क",
    "👩\u200d👧",
    "🇰🇷",
    "שלום",
    "\u202e",
    "İ",
    "Σ",
    "ß",
    "개",
    "\ufffd",
    "<UNK>",
    "_",
]
MIXED = st.lists(st.sampled_from([*"antsd' -&.", *CLITICS, *ODD])).map("".join)  # rare sequences, made frequent
TEXTS = st.text() | MIXED
ANYTHING = st.text(st.characters()) | MIXED  # with lone surrogates, which no file can hold
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
every_tokenizer = pytest.mark.parametrize("name", list(TOKENIZERS))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A dog runs .", ["a", "dog", "runs"]),
        ("The dog's ball", ["the", "dog", "'s", "ball"]),
        ("the horse 's lead", ["the", "horse", "'s", "lead"]),
        ("they can't, won\N{RIGHT SINGLE QUOTATION MARK}t", ["they", "ca", "n't", "wo", "n't"]),
        ("I'dn't can't_have", ["i", "'d", "n't", "ca", "n't", "have"]),
        ("a red-headed boy in a T-shirt", ["a", "red-headed", "boy", "in", "a", "t-shirt"]),
        ('"oh!" (AT&T) #28', ["oh", "at&t", "28"]),
        ("snake_case under_score", ["snake", "case", "under", "score"]),
        ("Ein süßer Hund läuft", ["ein", "süßer", "hund", "läuft"]),
        ("개가 달린다", ["개가", "달린다"]),
        (" \n\t", []),
        ("'", []),
    ],
)
def test_split_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@pytest.mark.parametrize(
    ("text", "characters"),
    [
        ("A b\n", ["A", " ", "b", "\n"]),
        ("e\u0301", ["e", "\u0301"]),
        ("👩\u200d👧", ["👩", "\u200d", "👧"]),
        ("a\ud83dz", ["a", "z"]),
        ("", []),
    ],
)
def test_split_characters(text: str, characters: list[str]) -> None:
    assert CharacterTokenizer.split(text) == characters


@every_tokenizer
@unhurried
@given(text=ANYTHING)
@example(text="can't_ i'dn't'd")
@example(text="0\u200cn't")
def test_cutting_what_was_written_gives_the_same_pieces(name: str, text: str) -> None:
    cut = TOKENIZERS[name].split
    pieces = cut(text)
    assert cut(TOKENIZERS[name].join(pieces)) == pieces
    assert all(cut(piece) == [piece] for piece in pieces)


@every_tokenizer
@unhurried
@given(text=TEXTS)
def test_known_pieces_come_back(name: str, text: str) -> None:
    tokenizer = TOKENIZERS[name].learn([text])
    pieces = tokenizer.split(text)
    tokens = tokenizer.encode(text)
    assert tokenizer.words(tokens) == pieces
    assert tokenizer.decode(tokens) == tokenizer.join(pieces)
    assert tokenizer.encode(tokenizer.decode(tokens)) == tokens
    assert {*tokens} == {*range(4, len(tokenizer))}


@unhurried
@given(text=TEXTS)
@example(text="A\0 e\u0301\r\n\u202eשל 👩\u200d👧 <UNK>")
def test_characters_come_back_exactly(text: str) -> None:
    tokenizer = CharacterTokenizer.learn([text])
    assert tokenizer.decode(tokenizer.encode(text)) == text


@every_tokenizer
@unhurried
@given(seen=TEXTS, text=TEXTS)
def test_unknown_pieces_become_unk(name: str, seen: str, text: str) -> None:
    tokenizer = TOKENIZERS[name].learn([seen])
    known = {*tokenizer.split(seen)}
    tokens = tokenizer.encode(text)
    expected = [piece if piece in known else "<UNK>" for piece in tokenizer.split(text)]
    assert tokenizer.words(tokens) == expected
    assert tokenizer.decode(tokens) == tokenizer.join(expected)
    assert [token == tokenizer.unk_id for token in tokens] == [piece not in known for piece in tokenizer.split(text)]


@unhurried
@given(seen=TEXTS, text=TEXTS)
def test_unknown_characters_are_written_as_the_replacement_character(seen: str, text: str) -> None:
    tokenizer = CharacterTokenizer.learn([seen])
    expected = "".join(character if character in seen else "\ufffd" for character in text)
    assert tokenizer.decode(tokenizer.encode(text)) == expected


def test_unknown_words_are_written_as_unk() -> None:
    tokenizer = WordTokenizer.learn(["a dog's ball"])
    assert tokenizer.decode(tokenizer.encode("A cat's ball!")) == "a <UNK>'s ball"


@every_tokenizer
@unhurried
@given(text=TEXTS)
def test_known_are_the_pieces_of_the_vocabulary_alone(name: str, text: str) -> None:
    tokenizer = TOKENIZERS[name].learn([text])
    assert all(map(tokenizer.knows, tokenizer.split(text)))
    assert not any(map(tokenizer.knows, ["<PAD>", "<START>", "<END>", "<UNK>", "", "two words"]))


@every_tokenizer
@unhurried
@given(texts=st.lists(TEXTS, max_size=6), min_count=st.integers(1, 4), max_size=st.integers(0, 6))
def test_learning_keeps_the_most_frequent_pieces(name: str, texts: list[str], min_count: int, max_size: int) -> None:
    kind = TOKENIZERS[name]
    tokenizer = kind.learn(iter(texts), min_count, max_size)
    counts = Counter[str]()
    for text in texts:
        counts.update(kind.split(text))
    kept = tokenizer.vocabulary
    left_out = counts.keys() - {*kept}
    rank = {piece: (-count, piece) for piece, count in counts.items()}
    assert list(kept) == sorted(kept, key=rank.__getitem__)
    assert all(counts[piece] >= min_count for piece in kept)
    full = 0 < max_size == len(kept)
    assert max_size == 0 or len(kept) <= max_size
    assert all(counts[piece] < min_count or (full and rank[piece] > rank[kept[-1]]) for piece in left_out)


def test_learnt_words_stand_by_frequency_then_by_letter() -> None:
    texts = ["b a a", "a B c rare"]
    assert WordTokenizer.learn(texts).vocabulary == ("a", "b", "c", "rare")
    assert WordTokenizer.learn(texts, min_count=2).vocabulary == ("a", "b")
    assert WordTokenizer.learn(texts, max_size=3).vocabulary == ("a", "b", "c")
    assert WordTokenizer.learn(texts, min_count=2).encode("a rare b") == [4, WordTokenizer.unk_id, 5]
    assert CharacterTokenizer.learn(["abBb a"], max_size=2).vocabulary == ("a", "b")


@every_tokenizer
def test_bad_options_of_learning_are_refused(name: str) -> None:
    with pytest.raises(OptionError, match="min_count is 0; it must be at least 1"):
        TOKENIZERS[name].learn(["a"], min_count=0)
    with pytest.raises(OptionError, match="max_size is -1; it must be at least 0"):
        TOKENIZERS[name].learn(["a"], max_size=-1)


@every_tokenizer
def test_special_tokens_are_neither_generated_nor_written(name: str) -> None:
    tokenizer = TOKENIZERS[name](["a", "b"])
    assert (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id, tokenizer.unk_id) == (0, 1, 2, 3)
    assert len(tokenizer) == 6
    assert (tokenizer.special.bos_id, tokenizer.special.eos_id) == (1, 2)
    assert {*tokenizer.special.banned} == {0, 1, 3}
    assert tokenizer.decode([1, 4, 2, 0]) == "a"
    assert tokenizer.words([1, 3, 5, 2]) == ["<UNK>", "b"]


def test_every_tokenizer_has_the_name_it_is_listed_under() -> None:
    assert {name: kind.name for name, kind in TOKENIZERS.items()} == {name: name for name in TOKENIZERS}
    assert all(issubclass(kind, Tokenizer) for kind in TOKENIZERS.values())


@every_tokenizer
@unhurried
@given(seen=ANYTHING, text=TEXTS)
def test_description_builds_the_same_tokenizer(name: str, seen: str, text: str) -> None:
    tokenizer = TOKENIZERS[name].learn([seen])
    described = json.dumps(tokenizer.to_dict(), ensure_ascii=False).encode()  # what UTF-8 cannot write fails here
    again = tokenizer_from_dict(json.loads(described))
    assert type(again) is TOKENIZERS[name]
    assert again.to_dict() == tokenizer.to_dict()
    assert again.encode(text) == tokenizer.encode(text)


@every_tokenizer
@pytest.mark.parametrize(
    ("vocabulary", "message"),
    [
        ("dog", "must be a list of texts; it is 'dog'"),
        (None, "must be a list of texts; it is None"),
        ({"a": 4}, "must be a list of texts; it is {'a': 4}"),
        (["a", 3], r"must be a list of texts; it is \['a', 3\]"),
        (["a", "b", "a"], "names 'a' twice"),
        (["a", "<END>"], "names <END>, a special token"),
        ([""], "names '', which is not one (word|character)"),
        (["a b"], "names 'a b', which is not one (word|character)"),
        (["\ud800"], r"names '\\ud800', which is not one (word|character)"),
    ],
)
def test_malformed_vocabularies_are_refused(name: str, vocabulary: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=f"the {name} vocabulary {message}"):
        tokenizer_from_dict({"name": name, "vocabulary": vocabulary})


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"name": "bytes"}, "unknown tokenizer 'bytes'; choose one of: character, word"),
        ({"name": "word"}, "missing 1 required positional argument: 'vocabulary'"),
        ({"name": "word", "vocabulary": [], "size": 3}, "unexpected keyword argument 'size'"),
        ({"name": "character", "vocabulary": ["ab"]}, "names 'ab', which is not one character"),
        ({"name": "word", "vocabulary": ["Dog"]}, "names 'Dog', which is not one word"),
        (["word"], r"the description must be a table; it is \['word'\]"),
    ],
)
def test_bad_descriptions_are_refused(description: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tokenizer_from_dict(description)


def test_joined_clitics_belong_to_the_word_before() -> None:
    assert join_words(["the", "dog", "'s", "ball", "is", "n't", "red"]) == "the dog's ball isn't red"
    assert join_words(["'s", "a"]) == "'s a"
