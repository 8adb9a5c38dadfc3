"""Questions made from captions: what is asked, what is not, how they are balanced, and VQA v2's files."""

import json
from collections import Counter
from pathlib import Path

import pytest

from captioner.errors import ConfigError
from training.__main__ import main
from training.errors import DataError
from training.questions.balance import Asked, Balance
from training.questions.files import PhotoQuestion, read_questions, write_questions
from training.questions.grammar import FORMS, NOUNS, PLURALS, doings, phrases, plural, words_of
from training.questions.rules import Question, questions_about
from training.questions.words import COLORS, DOINGS


def told(caption: str) -> list[tuple[str, int, str]]:
    return [(one.noun, one.number, one.color) for one in phrases(words_of(caption))]


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("Two dogs play with a red ball .", [("dog", 2, ""), ("ball", 1, "red")]),
        ("A black and white dog runs through the snow", [("dog", 1, "black and white"), ("snow", 1, "")]),
        ("Dog with orange ball", [("dog", 1, ""), ("ball", 1, "orange")]),
        ("a group of people in a tennis court", [("person", 0, ""), ("court", 1, "")]),
        ("a white hat and blue shorts", [("hat", 1, "white"), ("shorts", 0, "blue")]),
        ("A woman eating a hot dog", [("woman", 1, "")]),
        ("the children 's ride", []),
        ("An old lady in sunglasses", [("woman", 1, ""), ("sunglasses", 0, "")]),
    ],
)
def test_noun_phrases_are_found(caption: str, expected: list[tuple[str, int, str]]) -> None:
    assert told(caption) == expected


def test_who_does_what_is_found() -> None:
    def done(caption: str) -> list[tuple[str, str, str, str]]:
        words = words_of(caption)
        return [(one.subject.noun, one.verb, one.preposition, one.thing.noun) for one in doings(words, phrases(words))]

    assert done("A man in a blue shirt is riding a brown horse .") == [("man", "ride", "", "horse")]
    assert done("The dog jumps over a fence") == [("dog", "jump", "over", "fence")]
    assert done("A man stands while a dog bites a ball") == [], "who bites is not the man"


def test_plurals_and_verbs_lead_back() -> None:
    for noun in NOUNS - {"glass", "glasses"}:
        if (several := plural(noun)) != noun:
            assert PLURALS.get(several, noun) == noun, several
    assert all(FORMS[doing] == base for base, doing in DOINGS.items())
    assert not set(COLORS) & set(FORMS)


def asked(*captions: str, agreement: int = 2) -> dict[str, str]:
    return {one.text.replace("colour", "color"): one.answer for one in questions_about(captions, agreement)}


def answer(found: dict[str, str], *words: str) -> set[str]:
    """Return the answers to the questions that hold all these words."""
    return {answer for text, answer in found.items() if all(word in text.strip("?").split() for word in words)}


def test_what_captions_agree_on_is_asked() -> None:
    found = asked("Two black dogs run in the snow", "Two dogs in the snow", "Two dogs play on snow")
    assert answer(found, "many", "dogs") == {"2"}
    assert answer(found, "where", "dogs") == {"snow"}
    assert answer(found, "animal") == {"dog"}
    assert not answer(found, "color"), "of which of them is not said"
    found = asked("A man is holding a red ball", "A man holds a ball", "a red ball and a man")
    assert answer(found, "what", "holding") == {"ball"}
    assert answer(found, "color", "ball") == {"red"}
    assert answer(found, "who") == {"man"}
    assert answer(found, "many", "people") == {"1"}


def test_what_captions_contradict_is_not_asked() -> None:
    found = asked("A black dog runs", "A brown dog runs", "A white dog")
    assert not answer(found, "color")
    found = asked("A dog on the beach", "A dog in the grass")
    assert not answer(found, "where")
    found = asked("A man and a boy", "A man", "A man")
    assert answer(found, "many", "people") == set(), "one caption tells of two, which is not enough to be sure"
    assert not answer(asked("A man holds a ball", "A boy holds a stick"), "holding")


def test_one_caption_alone_is_enough_only_if_asked_for() -> None:
    captions = "A brown dog", "an animal", "a pet"
    assert not answer(asked(*captions), "color")
    assert answer(asked(*captions, agreement=1), "color") == {"brown"}


def test_a_photo_s_questions_are_the_same_again() -> None:
    captions = ["Two dogs run in the snow"] * 3
    assert questions_about(captions) == questions_about(captions)


def many(*counts: int, group: str = "number dogs", first: int = 0) -> list[Asked]:
    answers = [str(answer) for answer, count in enumerate(counts, 1) for _ in range(count)]
    return [
        Asked(first + number, Question("number", "how many dogs?", group, (answer,)))
        for number, answer in enumerate(answers)
    ]


def counted(found: list[Asked]) -> list[int]:
    return sorted(Counter(one.question.answer for one in found).values(), reverse=True)


def test_the_most_frequent_answer_is_cut_to_the_next() -> None:
    assert counted(Balance(least=1).apply(many(50, 20, 5))) == [20, 20, 5]
    assert counted(Balance(least=1, ratio=2).apply(many(50, 20, 5))) == [40, 20, 5]
    assert counted(Balance(least=6).apply(many(50, 20, 5))) == [20, 20]
    assert counted(Balance(least=1).apply(many(50))) == [], "what has one answer needs no photo"
    both = many(9, 3) + many(2, 8, group="number cats", first=100)
    assert counted(Balance(least=1).apply(both)) == [5, 5]


def test_answers_of_another_set_replace_the_least_count() -> None:
    assert counted(Balance(least=99).apply(many(5, 4, 3), {"1", "2"})) == [4, 4]


def test_which_are_kept_does_not_depend_on_their_order() -> None:
    questions = many(30, 10)
    kept = {one.image_id for one in Balance(least=1).apply(questions)}
    assert kept == {one.image_id for one in Balance(least=1).apply(questions[::-1])}
    with pytest.raises(ConfigError, match=r"ratio is 0.5; it must be between 1 and"):
        Balance(ratio=0.5)


def test_scores_are_those_of_vqa() -> None:
    """min(n / 3, 1) of ten answers (Antol et al. 2015)."""
    given = ("red",) * 6 + ("blue",) * 2 + ("pink", "rose")
    scores = PhotoQuestion(1, "x.jpg", "color", "?", given).scores()
    assert scores == pytest.approx({"red": 1, "blue": 2 / 3, "pink": 1 / 3, "rose": 1 / 3})
    assert PhotoQuestion(1, "x.jpg", "color", "?", ("red",)).scores() == {"red": 1}


def vqa(folder: Path) -> tuple[Path, Path]:
    """Write a pair of files with the keys of VQA v2."""
    questions = {"data_subtype": "val2014", "questions": [{"image_id": 42, "question": "Is it?", "question_id": 420}]}
    answers = [{"answer": "yes", "answer_confidence": "maybe", "answer_id": number} for number in range(1, 11)]
    annotation = {"question_type": "is it", "multiple_choice_answer": "yes", "answers": answers, "image_id": 42,
                  "answer_type": "yes/no", "question_id": 420}  # fmt: skip
    paths = folder / "questions.json", folder / "annotations.json"
    paths[0].write_text(json.dumps(questions))
    paths[1].write_text(json.dumps({"annotations": [annotation]}))
    return paths


def test_vqa_s_own_files_are_read(tmp_path: Path) -> None:
    [found] = read_questions(*vqa(tmp_path))
    assert found == PhotoQuestion(420, "COCO_val2014_000000000042.jpg", "yes/no", "Is it?", ("yes",) * 10)


def test_what_is_no_pair_is_told(tmp_path: Path) -> None:
    questions, annotations = vqa(tmp_path)
    with pytest.raises(DataError, match="it has no list annotations"):
        read_questions(questions, questions)
    with pytest.raises(DataError, match="not a readable JSON file"):
        read_questions(tmp_path / "none.json", annotations)
    annotations.write_text('{"annotations": [{}]}')
    with pytest.raises(DataError, match="not a pair of files of VQA v2"):
        read_questions(questions, annotations)


def test_the_command_writes_what_is_read(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On the data set of three captions a photo, with subjects of one kind each."""
    files = [str(tmp_path / "questions.json"), str(tmp_path / "answers.json")]
    make = ["make-questions", "--annotations", str(dataset / "train.json"), "--images", str(dataset / "train")]
    make += ["--questions", files[0], "--answers", files[1]]
    assert main([*make, "--least", "1", "--ratio", "3"]) == 0
    assert "questions about" in capsys.readouterr().out
    found = read_questions(*map(Path, files))
    places = {one.answers[0] for one in found if one.kind == "place"}
    assert places == {"grass", "snow"}, "near the water is not in it"
    for one in found:
        assert (dataset / "train" / one.photo).is_file()
    assert main([*make, "--like", *files, "--ratio", "3"]) == 0
    assert read_questions(*map(Path, files)) == found
    assert main([*make, "--least", "99"]) == 1
    assert "lower --least or --agreement" in capsys.readouterr().err
    assert main([*make, "--agreement", "0"]) == 1


def test_written_ids_are_places(tmp_path: Path) -> None:
    paths = tmp_path / "q.json", tmp_path / "a.json"
    write_questions(many(1, 1), [], tmp_path, paths, "train")
    written = json.loads(paths[0].read_text())
    assert [one["question_id"] for one in written["questions"]] == [0, 1]
    assert json.loads(paths[1].read_text())["annotations"][1]["multiple_choice_answer"] == "2"
