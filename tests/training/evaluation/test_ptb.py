import random
import shutil
import string
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from captioner.errors import OptionError
from training.evaluation import ptb
from training.evaluation.ptb_characters import UNPROMISED

needs_java = pytest.mark.skipif(
    shutil.which("java") is None or ptb._jar() is None,
    reason="compares with the Java tokenizer: needs java on the PATH and pycocoevalcap",
)

PLAIN = """
A brown dog runs across a wet field .
Two children are sitting on a red bench, eating ice cream.
The man in the blue shirt is climbing a steep rock face!
Is the girl in pink jumping over a puddle?
A woman, who wears a hat, walks her dogs near the river ; it is raining .
a surfer rides a big wave
Three people wait at a bus stop; one of them reads.
An old man with a long, white beard plays the violin on a street corner.
PEOPLE STAND IN LINE OUTSIDE A THEATER.
Kids play soccer.The goalkeeper dives .
A cyclist wearing number 42 passes a sign: slow down
The bride and the groom are kissing. Behind them, guests clap.
A child's drawing hangs on the refrigerator's door.
The boys' bikes lie in the grass.
A dog with a stick in it 's mouth .
She doesn't look; they aren't looking, and he can't look either.
I'd say it's a boat they've rented, but we'll see who's right, and I'm not sure you're.
The player cannot reach the ball; he's gonna fall, gotta get up, and wanna win. Gimme that, lemme see.
A rock'n'roll band from the '90s plays rock 'n' roll at six o'clock.
'Tis the season: 'twas snowing, y'all!
A teacher holds a sign that says "keep quiet".
The shirt reads 'I love New York' in red letters.
A t-shirt with a hand-painted, ten-year-old logo and a well-known five-on-five slogan.
A black-and-white cat - or is it a dog? - sleeps -- deeply --- on the sofa.
A boy and/or a girl in a blue/green/red coat, and a jacket/vest over a t-shirt/jeans outfit.
Mr. Jones and Mrs. Smith meet Dr. Brown on Main St. near Mt. Baker Ave. in St. Louis, Mo.
He flew from the U.S. to the U.K. at 5 a.m. and landed at 3 p.m.
A marching band in Washington, D.C.
A scuba diver (S.C.U.B.A. gear) near an R.V. at 10:30.
Ford Motor Co. and Acme Inc. sponsor the race, etc., etc.
A runner with No. 17 and one with no. seventeen; see fig. 3, pp. 4 and vol. 2.
It is Jan. 5, or Mon. or Tues. The sun shines.
Route B. The road is empty.
Vitamin C. Some pills.
A sign says vitamin C. it is blurry
About 1,000 people, 3.5 miles, 1/2 a pizza, 1 1/2 pizzas, 50% off, $5.50, #1 and the 2nd or 3rd.
Call 555-1212 or (555) 555-1212 or 1 800 555 1212 or +49 30 123456.
A 6'2" man and a 5-foot-tall woman on 04/07/1999 at -5 degrees.
A price tag shows US$5, A$6 or £7, €8, ¥9 and 10¢.
½ cup and 1½ cups and ¾ of a cake at 30°C.
AT&T and R&B and black & white and S&P-500 and C++ and c# and F#.
Mail me at bob.smith@example.com or see http://www.example.com/a_b?c=d#e, www.example.org and example.net/x/y.
@someone posts #sunset pics dog.jpg and 1dog.png today .
A smiling man :) and a sad one :-( and a wink ;-) =D >:( ^_^ (^_^) -_-
A caf\u00e9 in S\u00e3o Paulo serves cr\u00e8me br\u00fbl\u00e9e and jalape\u00f1os.
\u201cCurly quotes\u201d and \u2018single ones\u2019, it\u2019s the dogs\u2019 park
in the \u201980s, don\u2019t you see \u2026
An en dash \u2013 an em dash \u2014 and a range 5\u20136 or a\u2014b
\u4e00\u53ea\u72d7 and \u0441\u043e\u0431\u0430\u043a\u0430
\u03c3\u03ba\u03cd\u03bb\u03bf\u03c2 and \u72ac\u304c\u8d70\u308b
A dog \U0001f436 runs\U0001f3c3fast \u2764 \u2713 \u2605 \u2192
no\u00a0break and thin\u2009space and soft\u00adhyphen and \u2022 bullet
<b>bold</b> and <br/> and <a href="x y"> &amp; &lt;tag&gt; &quot;hi&quot; it&apos;s
&nbsp; &mdash; &Ndash; &QUOT; &#39;s &eacute;t&eacute; a&b
 leading and trailing blanks   and a tab\tinside
wait ... what . . . yes.... no.. hm . . . . ok ..... end
end!!! what??? ?! really?!! ok !
a_b a__b _a_ a*b **bold** ~a ^b a+b a=b == 5x5 | \\ \\* <3 >>> << * * *
(a) [b] {c} ((d)) man(s) (5) -LRB- -rrb-
Ol' Joe's somethin' and 'em o'er ma'am c'mon nor'easter cap'n jack-o'-lantern O'Brien d'or l'eau Xi'an Hawai'i
a.b a,b a;b a:b a!b a?b 1.a a.1 a1 1a 5. .5 5.; ab., x. y
A goat with no. 3 painted on its side nibbles grass by the B. and O. railway.
Four hikers (two men, two women) rest at 2,000 ft. above sea level.
The scoreboard reads 21-14 with 3:05 left in the 4th quarter.
Somebody's brother-in-law grills hot-dogs & burgers @ the beach!
A toddler yells "NO!" at his mother's half-eaten sandwich...
Its sign says: "Open 24/7 - come on in!"
One of the twins' shoes is untied, the other's isn't.
A trumpet player ; a drummer ; and a singer who's bowing.
A ferris wheel lit up at night, seen from across the bay
Workers in hi-vis vests repair the tracks near Platform 9 3/4.
A girl blows out 7 candles on her b-day cake, and everyone 's clapping.
The horse jumps over a 4'-high fence.
A graffiti wall with the letters S.O.S. and a tag: "K*7_x".
A red double-decker bus (route no. 88) drives past St. Paul's.
Two men play chess.One of them smokes a pipe.Others watch
A football player, #22, tackles another, # 5 .
Someone in an "I <3 NY" shirt takes a self-portrait.
A snow-covered, tree-lined street w/ parked cars.
The woman's 3-yr.-old son sits atop Dad's shoulders.
A choir of approx. 40 people, incl. children, sings.
A diver does a 1 1/2 somersault from the 10m board.
An ice-cream truck; its price list starts at $1.
A rider in the 'Tour de France' passes fans shouting "allez!".
Sheep graze under power lines; in the distance: mountains.
A guitarist plays at Joe's Bar & Grill on the corner of 5th Ave. and Elm
The crowd cheers: "Go! Go! Go!"
A man in a suit and tie checks his watch (it's 12:59 p.m.).
Dogs, dogs, dogs - everywhere you look!
a boat called "Ol' Bess" is docked at pier no. 12
A man.
A man .
.
?
'
''
-
--
"""
PIECES = """
the dogs a man's can't cannot 'tis 'n' 'em o'clock O'Brien y'all d' n't 's 'll 1 12 555 5555 '90s 2nd 1,000 3.5 10:30
1/2 Mr. St. Jr. U.S. a.m. etc. Inc. No. fig. Ill. Ph.D. Jan. x.y. a-b well-known and/or AT&T C++ c# @bob #fun b@x.com
http://x.com/a www.a.com foo.org/b 1pic.jpg &amp; &lt; &#39; &eacute; <b> </b> :) ;-) =( ^_^ -- ... . , ! ? ; : ' "
`` '' ( ) [ ] { } - _ * ** + = ~ % $ # & @ / \\ | < > OK E! Z pro- C.D.s S&P-500 (555) -5
The M. \u2019 \u201c \u2026 \u00e9
"""
SIGNS = (
    string.ascii_letters
    + string.digits
    + string.punctuation
    + "  ''..--\u00e9\u00c4\u00df\u2019\u2018\u201c\u201d\u2013\u2026\u00bd\u20ac"
)

characters = st.text(SIGNS, max_size=30)
mixtures = st.lists(
    st.tuples(st.sampled_from(PIECES.split()), st.sampled_from(["", "", " ", *string.punctuation]))
).map(lambda pairs: "".join(piece + glue for piece, glue in pairs))


def captions() -> list[str]:
    return PLAIN.split("\n")


def variations(seed: int, count: int) -> list[str]:
    """Words of the written captions, glued together at random: likelier to look like text than hypothesis's own."""
    generator = random.Random(seed)  # noqa: S311
    words = [word for word in [*PLAIN.split(), *PIECES.split()] if "\u00ad" not in word]
    glue = ["", "", " ", " ", *string.punctuation]
    return [
        "".join(generator.choice(words) + generator.choice(glue) for _ in range(generator.randint(1, 8)))
        for _ in range(count)
    ]


def check(lines: Sequence[str]) -> None:
    java, python = ptb.ptb_tokenize_java(lines), ptb.ptb_tokenize_python(lines)
    assert [(line, ours) for line, ours, theirs in zip(lines, python, java, strict=True) if ours != theirs] == []
    assert python == java


@pytest.mark.slow
@needs_java
def test_written_captions_equal_java() -> None:
    check(captions())


@pytest.mark.slow
@needs_java
def test_every_written_word_alone_equals_java() -> None:
    words = sorted({*PLAIN.split(), *PIECES.split()})
    check(
        [form for word in words for form in (word, word.upper(), word.title(), f"{word} .", f"{word}'s", f"({word})")]
    )


@pytest.mark.slow
@needs_java
def test_abbreviation_like_words_equal_java() -> None:
    stems = [first + second for first in string.ascii_lowercase for second in ["", *string.ascii_lowercase]]
    check([f"{form}. {after}".rstrip() for stem in stems for form in (stem, stem.title()) for after in ("", "x", "5")])


@pytest.mark.slow
@needs_java
@pytest.mark.parametrize("seed", range(3))
def test_random_mixtures_equal_java(seed: int) -> None:
    check(variations(seed, 3000))


@pytest.mark.slow
@needs_java
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(st.lists(characters | mixtures, min_size=1, max_size=300))
def test_any_text_in_the_promise_equals_java(lines: list[str]) -> None:
    check(lines)


@pytest.mark.slow
@needs_java
def test_two_calls_of_java_agree_with_one() -> None:
    lines = captions()[:8]
    assert ptb.ptb_tokenize_java(lines) == ptb.ptb_tokenize_java(lines[:4]) + ptb.ptb_tokenize_java(lines[4:])


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A dog runs , and doesn't stop .", "a dog runs and does n't stop"),
        ("the man's T-shirt says \u201chi!\u201d", "the man 's t-shirt says hi"),
        ("It costs $5 (at 50% off) in the U.S.", "it costs $ 5 -lrb- at 50 % off -rrb- in the u.s."),
        ("we cannot\nsee", "we can not see"),
        ("", ""),
        (" \t ", ""),
        ("...", ""),
    ],
)
@pytest.mark.parametrize("engine", ["python", pytest.param("java", marks=[needs_java, pytest.mark.slow])])
def test_known_answers(caption: str, expected: str, engine: ptb.Engine) -> None:
    assert ptb.ptb_tokenize([caption], engine) == ([expected], ptb.tokenizer_name(engine))


@pytest.mark.parametrize("engine", ["python", pytest.param("java", marks=[needs_java, pytest.mark.slow])])
def test_line_ends_inside_captions_do_not_shift_their_neighbours(engine: ptb.Engine) -> None:
    breaks = ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x85", "\u2028", "\u2029", "\x1c", "\x00", "\ud800"]
    tokenized, _ = ptb.ptb_tokenize([*(f"a{end}b" for end in breaks), "", "last", ""], engine)
    assert tokenized == ["a b"] * len(breaks) + ["", "last", ""]


@given(st.lists(st.text(st.characters(exclude_categories=[]), max_size=20), max_size=5))
@settings(max_examples=100)
def test_any_text_at_all_is_tokenized(lines: list[str]) -> None:
    tokenized = ptb.ptb_tokenize_python(lines)
    assert len(tokenized) == len(lines)
    assert all(line == " ".join(line.split(" ")) and "\n" not in line for line in tokenized)


@pytest.mark.parametrize("engine", ["python", pytest.param("java", marks=[needs_java, pytest.mark.slow])])
def test_no_captions(engine: ptb.Engine) -> None:
    assert ptb.ptb_tokenize([], engine)[0] == []


def test_a_long_caption_takes_no_squared_time() -> None:
    assert ptb.ptb_tokenize_python(["a" * 20_000, "a-" * 5_000, "<a b " * 2_000, "1." * 5_000])


def test_auto_falls_back_to_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert ptb.tokenizer_name() == ptb.tokenizer_name("python")
    with pytest.raises(ptb.TokenizerError, match="java"):
        ptb.ptb_tokenize(["a dog"], "java")


def test_auto_falls_back_without_pycocoevalcap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ptb, "_jar", lambda: None)
    assert ptb.tokenizer_name() == ptb.tokenizer_name("python")


def test_an_answer_of_another_length_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    silent = tmp_path / "java"
    silent.write_text(f"#!{sys.executable}\n")
    silent.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda _: str(silent))
    monkeypatch.setattr(ptb, "_jar", lambda: Path("program.jar"))
    with pytest.raises(ptb.TokenizerError, match="1 captions into 0 lines"):
        ptb.ptb_tokenize_java(["a dog"])


SCRIPTS = [  # the same tokens from both engines, words whole
    "एक कुत्ता पानी में दौड़ रहा है।",
    "একটি কুকুর দৌড়াচ্ছে",
    "ஒரு நாய் ஓடுகிறது",
    "ఒక కుక్క పరుగెత్తుతోంది",
    "สุนัขวิ่ง ในน้ำ",
    "كَلْبٌ يَجْرِي، فِي المَاءِ؟",
    "הַכֶּלֶב רָץ",
    "İstanbul bir köpek",
    "개가 달린다",
    "犬が パンを",
    "собака й ёж",
]


@pytest.mark.parametrize("caption", SCRIPTS)
@pytest.mark.parametrize("engine", ["python", pytest.param("java", marks=[needs_java, pytest.mark.slow])])
def test_words_of_other_scripts_are_whole(caption: str, engine: ptb.Engine, capsys: pytest.CaptureFixture[str]) -> None:
    ptb._warn.cache_clear()
    for sign in "।،؟":
        assert ptb.ptb_tokenize([f"a {sign}"], engine)[0] == [f"a {sign}"]
        caption = caption.replace(sign, "")
    words = unicodedata.normalize("NFC", caption).lower()
    both = [caption, unicodedata.normalize("NFD", caption)]
    assert ptb.ptb_tokenize(both, engine) == ([words, words], ptb.NAMES[engine])
    assert not capsys.readouterr().err


@pytest.mark.slow
@needs_java
def test_letters_and_marks_of_the_promise_equal_java() -> None:
    codes = [*range(0xAE, 0x3400, 3), *range(0x4DC0, 0xA000, 97), *range(0xA000, 0xFE00, 11)]
    signs = [chr(code) for code in codes if unicodedata.category(chr(code))[0] in "LM"]
    kept = [sign for sign in signs if unicodedata.is_normalized("NFC", sign) and not UNPROMISED.match(sign)]
    check([text for sign in kept for text in (f"za{sign}bz", sign, f"5{sign}", f"za{sign}'s", f"x-{sign}a")])


def test_what_may_differ_from_java_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    ptb._warn.cache_clear()
    assert ptb.ptb_tokenize(["a dog", "ꞷ"], "python")[1] == ptb.DIFFERING
    assert ptb.ptb_tokenize(["ꞷ"], "python")[1] == ptb.DIFFERING
    assert capsys.readouterr().err.count("warning: ") == 1
    assert ptb.ptb_tokenize(["a dog"], "python")[1] == ptb.NAMES["python"]


def test_unknown_engine() -> None:
    with pytest.raises(OptionError, match="auto, java, python"):
        ptb.ptb_tokenize(["a dog"], "perl")  # type: ignore[arg-type]
