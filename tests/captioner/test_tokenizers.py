"""Words to ids and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioner.errors import ConfigError
from captioner.tokenizers import TOKENIZERS, WordTokenizer, tokenizer_from_dict
from captioner.tokenizers.word import join_words, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A dog runs .", ["a", "dog", "runs"]),
        ("The dog's ball", ["the", "dog", "'s", "ball"]),
        ("the horse 's lead", ["the", "horse", "'s", "lead"]),
        ("they can't, won\N{RIGHT SINGLE QUOTATION MARK}t", ["they", "ca", "n't", "wo", "n't"]),
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


@given(st.text())
def test_joining_and_splitting_again_changes_nothing(text: str) -> None:
    words = split_words(text)
    assert split_words(join_words(words)) == words


@given(st.text())
def test_any_text_has_ids_of_the_vocabulary(text: str) -> None:
    tokenizer = WordTokenizer(["a", "dog", "'s"])
    assert all(tokenizer.unk_id <= token < len(tokenizer) for token in tokenizer.encode(text))


@given(st.lists(st.sampled_from(["a", "dog", "runs", "t-shirt", "the"])))
def test_known_words_come_back(words: list[str]) -> None:
    tokenizer = WordTokenizer(["a", "dog", "runs", "t-shirt", "the"])
    assert tokenizer.decode(tokenizer.encode(" ".join(words))) == " ".join(words)


def test_clitics_are_written_onto_their_word() -> None:
    tokenizer = WordTokenizer.from_captions(["the dog's ball isn't red"], min_count=1)
    assert tokenizer.decode(tokenizer.encode("The dog 's ball isn't red .")) == "the dog's ball isn't red"


def test_rare_words_are_unknown_and_frequent_ones_come_first() -> None:
    tokenizer = WordTokenizer.from_captions(["b a a", "a b rare"], min_count=2)
    assert tokenizer.vocabulary == ("a", "b")
    assert tokenizer.encode("a rare b") == [4, tokenizer.unk_id, 5]


def test_special_tokens_are_neither_generated_nor_written() -> None:
    tokenizer = WordTokenizer(["dog"])
    special = tokenizer.special
    assert special.banned == (tokenizer.pad_id, tokenizer.bos_id, tokenizer.unk_id)
    assert tokenizer.decode([tokenizer.bos_id, 4, tokenizer.eos_id, tokenizer.pad_id]) == "dog"


@pytest.mark.parametrize("name", list(TOKENIZERS))
def test_description_builds_the_same_tokenizer(name: str) -> None:
    tokenizer = TOKENIZERS[name](["dog", "a"])
    again = tokenizer_from_dict(tokenizer.to_dict())
    assert again.to_dict() == tokenizer.to_dict()
    assert again.encode("a dog flies") == tokenizer.encode("a dog flies")


def test_bad_descriptions_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown tokenizer 'bytes'; choose one of: word"):
        tokenizer_from_dict({"name": "bytes"})
    with pytest.raises(ConfigError, match="unexpected keyword argument"):
        tokenizer_from_dict({"name": "word", "vocabulary": [], "size": 3})
    with pytest.raises(ConfigError, match="twice"):
        WordTokenizer(["dog", "dog"])
    with pytest.raises(ConfigError, match="special"):
        WordTokenizer(["<END>"])
