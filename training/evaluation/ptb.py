r"""The tokenization behind published caption scores, with Java and without.

COCO's evaluation code runs the PTBTokenizer of Stanford CoreNLP 3.4.1 (`-preserveLines -lowerCase`) and then drops
punctuation tokens. Scores are comparable only after exactly this tokenization, so it exists here twice: as a call of
the Java program that pycocoevalcap ships, and as a table of rules in Python that gives the same tokens.

The Java program always takes the longest match, and among equally long ones the first rule. `RULES` is read the same
way: a rule's first group is the token, and what it matches after that group is context, which counts for the length
but is not consumed. So the order of the rules matters only between equals.

Both engines read the captions of one call as lines of one text, as COCO's code does. A caption's tokens can therefore,
very rarely, depend on the caption after it: a single letter and its dot at the end of a line ("route B.") stay one
token unless the next line starts with a word like "The", and "No." does only if the next line starts with a digit.
Here every line is ended; COCO's code leaves the last one open, which shows if that one ends in a face such as ":)".

What the Python engine promises: the same tokens as Java for every text made of printable ASCII; the signs of Latin-1;
the letters, marks and punctuation of all living scripts as far as Unicode 6 has them; typographic quotes, dashes,
bullets, ellipses and spaces; arrows and pictographs from U+2190 to U+2BFF; and emoji, which vanish in both. Outside the
promise is what `UNPROMISED` lists, of which a warning tells, and soft hyphens outside plain words. Control characters
other than the tab count as blanks in both engines, because some would end a line in Java and shift every caption after
it.

Captions are composed (Unicode's form C) for both engines, so that the same word is the same token however its accents
were typed. Both keep marks with their letters in the scripts that `MARKS` lists. In others, such as Malayalam, Kannada,
Sinhala, Khmer and Burmese, both cut words at marks, and everywhere at zero-width joiners: scores of such captions are
made of pieces of words, and compare among themselves alone.
"""

import importlib.util
import re
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from tqdm import tqdm

from captioner.errors import CaptionerError, OptionError
from training.evaluation.ptb_characters import MARKS, OTHER_SIGNS, UNPROMISED

Engine = Literal["auto", "java", "python"]

JAR = "stanford-corenlp-3.4.1.jar"
NAMES = {
    "java": "PTB (Stanford CoreNLP 3.4.1, Java), punctuation removed",
    "python": "PTB (rules in Python equal to Stanford CoreNLP 3.4.1), punctuation removed",
}
DIFFERING = (
    "PTB (rules in Python; some characters may give other tokens than in Stanford CoreNLP 3.4.1), punctuation removed"
)
PUNCTUATION = frozenset(
    ["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"]
)  # brackets stay: COCO's list spells them -LRB-
CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class TokenizerError(CaptionerError):
    """The Java tokenizer was asked for and cannot be run, or did not answer as expected."""


def tokenizer_name(engine: Engine = "auto") -> str:
    """Say which tokenization `ptb_tokenize` performs here, in words fit for a report.

    Raises:
        OptionError: If the engine is unknown.
    """
    return NAMES[_choose(engine)]


def ptb_tokenize(captions: Sequence[str], engine: Engine = "auto") -> tuple[list[str], str]:
    """Tokenize captions and say how it was done.

    Args:
        captions: Plain texts.
        engine: `java`, `python`, or `auto`: Java where it can run, else Python.

    Returns:
        For each caption its lower-case tokens joined by single spaces, without punctuation; and the tokenizer's name,
        which says if the tokens may differ from Java's. Of that a warning tells too, once.

    Raises:
        OptionError: If the engine is unknown.
        TokenizerError: If Java is asked for and fails.
    """
    if _choose(engine) == "java":
        return ptb_tokenize_java(captions), NAMES["java"]
    if any(not caption.isascii() and UNPROMISED.search(caption) for caption in captions):
        _warn()
        return ptb_tokenize_python(captions), DIFFERING
    return ptb_tokenize_python(captions), NAMES["python"]


@cache
def _warn() -> None:
    """Say once that scores may differ from those that Java's tokens give."""
    tqdm.write(
        "warning: the captions have characters of which the Python tokenizer may make other tokens than the Java one "
        "that published scores were made with; install Java to compare scores with those",
        file=sys.stderr,
    )


def ptb_tokenize_java(captions: Sequence[str]) -> list[str]:
    """Tokenize with the program that pycocoevalcap ships, all captions in one run of Java, writing no files.

    Raises:
        TokenizerError: If Java or the program is missing, fails, or answers with another number of lines.
    """
    java, jar = shutil.which("java"), _jar()
    if java is None or jar is None:
        raise TokenizerError("Java tokenization needs `java` on the PATH and the package pycocoevalcap")
    command = [java, "-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase"]
    text = "".join(f"{line}\n" for line in _lines(captions))
    done = subprocess.run([*command, "-encoding", "utf-8"], input=text.encode(), capture_output=True, check=False)  # noqa: S603
    lines = done.stdout.decode().split("\n")[:-1]
    if done.returncode or len(lines) != len(captions):
        problem = done.stderr.decode(errors="replace")[-300:]
        raise TokenizerError(f"Java tokenized {len(captions)} captions into {len(lines)} lines: {problem}")
    return [" ".join(token for token in line.rstrip().split(" ") if token not in PUNCTUATION) for line in lines]


def ptb_tokenize_python(captions: Sequence[str]) -> list[str]:
    """Tokenize by `RULES`; see the module's text for what is promised."""
    if not captions:
        return []
    lines: list[list[str]] = [[]]
    for word in _tokens("\n".join(_lines(captions)).replace("\xad", "")):
        if word == "\n":
            lines.append([])
        elif word and word not in PUNCTUATION:
            lines[-1].append(word)
    return [" ".join(line) for line in lines]


def _choose(engine: Engine) -> Literal["java", "python"]:
    if engine == "auto":
        return "java" if shutil.which("java") and _jar() else "python"
    if engine not in NAMES:
        raise OptionError(f"unknown tokenizer engine {engine!r}; choose one of: auto, java, python")
    return engine


def _jar() -> Path | None:
    if importlib.util.find_spec("pycocoevalcap") is None:
        return None
    spec = importlib.util.find_spec("pycocoevalcap.tokenizer")
    folders = (spec and spec.submodule_search_locations) or ()
    return next((path for folder in folders if (path := Path(folder) / JAR).is_file()), None)


def _lines(captions: Sequence[str]) -> Iterator[str]:
    return (CONTROLS.sub(" ", unicodedata.normalize("NFC", caption)) for caption in captions)


def _tokens(text: str) -> Iterator[str]:
    text, end, position = text + "\n\n", len(text), 0
    while position < end:
        if (plain := PLAIN_WORD.match(text, position)) and plain[1] not in SPLIT_WORDS:
            yield plain[1]
            position = plain.end()
            continue
        matches = ((match, rule) for rule in RULES if (match := rule.pattern.match(text, position)))
        match, rule = max(matches, key=lambda pair: pair[0].end())  # the first of equally long ones
        position = match.end(1)
        yield rule.spell(match[1]).lower()


# How tokens are spelled ----------------------------------------------------------------------------------------------

BRACKETS = {"(": "-LRB-", ")": "-RRB-", "[": "-LSB-", "]": "-RSB-", "{": "-LCB-", "}": "-RCB-"}
ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": "''", "&apos;": "'", "&nbsp;": ""}
ENTITIES |= {"&mdash;": "--", "&ndash;": "--", "&md;": "--"}
STRAIGHT = {"`": "\u2018\u201b\u2039", "'": "\u2019\u203a", "``": "\u201c«", "''": "\u201d»"}
QUOTES = {ord(mark): straight for straight, marks in STRAIGHT.items() for mark in marks}
SIGNS = BRACKETS | {'"': "''", "½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3", "⅔": "2/3", "\u2026": "..."}
SIGNS |= {"¢": "cents", "£": "#", "€": "$", "¤": "$", "\u2013": "--", "\u2014": "--", "\u2015": "--"}
KEPT_SIGNS = re.compile(rf"[{OTHER_SIGNS}\x21-\x7e¡-¿\xd7÷‖‗\u201a„-‣‰-‸※‾-⁂⁰⁴-⁾₀-₎℀-ⅎ⅕-⅞←-⯿、。・]")


def _as_is(token: str) -> str:
    return token


def _nothing(_: str) -> str:
    return ""


def _one_piece(token: str) -> str:
    return token.replace(" ", "\xa0")


def _phone(token: str) -> str:
    return _one_piece(_parentheses(token))


def _parentheses(token: str) -> str:
    return token.replace("(", "-LRB-").replace(")", "-RRB-")


def _ampersand(token: str) -> str:
    return token.replace("&amp;", "&")


def _quotes(token: str) -> str:
    return token.replace("&apos;", "'").translate(QUOTES)


def _entity(token: str) -> str:
    exact = token.lower() in {"&quot;", "&apos;"}  # the others are known in capitals too
    return ENTITIES.get(token if exact else token.lower(), token)


def _runs(token: str) -> str:
    return "..." if token.startswith(("...", ". ", ".\xa0")) else token


def _dashes(token: str) -> str:
    return token if len(token) > 4 else "-"


def _sign(token: str) -> str:
    return SIGNS.get(token, token if KEPT_SIGNS.match(token) else "")


# The pieces that rules are made of -----------------------------------------------------------------------------------

NUMERALS = (
    "²³¹¼-¾⁰-₉\u2150-\u218f①-⒛⓪-⓿❶-➓\U00010000-\U0010ffff"  # Python's \w has them, Java's letters and digits do not
)
PURE = rf"[^\W\d_{NUMERALS}]"  # a letter
ALNUM = rf"[^\W_{NUMERALS}]"  # a letter or digit
SPELLED = rf"[{MARKS}]|&[aeiouAEIOU](?i:acute|grave|uml);"  # what counts as a letter inside words
WORD = rf"(?:{PURE}|{SPELLED})(?:{ALNUM}|{SPELLED})*"
WORD = rf"{WORD}(?:[.!?]{WORD})*"  # "runs.The" is one token
APOS = r"(?:['\u2019]|(?i:&apos;))"
LOOSE_APOS = r"(?:['\u2019`\u2018\u201b]|(?i:&apos;))"
SUFFIX = rf"{APOS}(?i:[msd]|re|ve|ll)"
NOT = rf"[nN]{LOOSE_APOS}[tT]"
NUMBER = r"(?:\d*(?:[.:,]\d+)+|\d+)"
ACRONYM = r"[A-Za-z](?:\.[A-Za-z])*"
NAME_PART = rf"(?:[dDoOlL]{LOOSE_APOS}{ALNUM})?{ALNUM}+"
COMPOUND = rf"{NAME_PART}(?:[-_\u2010\u2011]{NAME_PART})*"  # x-ray, anti-O'Brien
LIST_COMPOUND = r"[A-Za-z0-9][A-Za-z0-9.,]*(?:-(?:[A-Za-z](?:\.[A-Za-z])+\.|[A-Za-z0-9]+))+"  # 3.5-inch, non-U.S.
INITIALS = r"[A-Z]+(?:(?:[+&]|&amp;)[A-Z]+)+"  # AT&T
SLASH_PART = r"[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}"
TAG_NAME = r"[A-Za-z][-A-Za-z0-9_:.]*"
ATTRIBUTE = rf" +{TAG_NAME}(?: *= *(?:'[^'\n]*'|\"[^\"\n]*\"))?"
TAG = rf"(?:<[!?][A-Za-z-][^>\n]*>|</{TAG_NAME} *>|<{TAG_NAME}(?:{ATTRIBUTE})* */? *>)"
WWW = r"www\.(?:[^\s\"<>|.!?(){},]+\.)+?[a-zA-Z]{2,4}"
HOST = r"(?:[^\s\"`'<>|.!?(){}$,-_]+\.)+?(?:com|net|org|edu)"  # the class ends in a range from comma to underscore
URL_END = r"[^\s\"<>|.!?(){},-]"
MAIL = r"(?:<|&lt;)?[A-Za-z0-9][^\s\"<>|(){}]*@(?:[^\s\"<>|(){}.]+\.)*[^\s\"<>|(){}.]+(?:>|&gt;)?"
PHONE = r"(?:\(\d{2,3}\)[ \xa0]?|\+*(?:\d{2,4}[- \xa0])?\d{2,4}[- \xa0])\d{3,4}[- \xa0]?\d{3,5}"


def _any(words: str) -> str:
    return "(?:" + "|".join(words.split()) + ")"


# Abbreviations keep their dot. Those that may end a sentence give way to a longer word ("Inc.xyz"), titles do not.
ENDING = _any(
    """al cos? ct ga jr ky md mo rd rt sq sr va vt ala apr aug bhd dak dec esq est etc ext feb fla fri inc ind jan jul
    jun kans? ltd mar mon neb nev nov oct plc sept? seq sys tel thu tue wed wisc? wyo ariz assn bldg blvd bros calif
    colo conn corp intl mich minn mont okla penn tenn thurs tues univ bancorp (?:ph|ed)\\.d"""
)
ENDING_CAPITAL = _any(
    "A[zZ] L[aA] P[aA] Ark Del Ill Ore Tex Mass Miss Wash ARK DEL ILL ORE TEX MASS MISS WASH [Pp]p?tys? [Pp]p?tes?"
)
TITLE = _any(
    """cf drs? ft lt mr ms mt ph st vs wm adj adm adv ave cie col cpl det ens gen govs? hon jos maj mme mrs pfc pvt
    reps? rev sens? sfc sgt spc ste alex asst attys? brig capt cmdr dept elec insp invt mlle msgr natl pres profs?
    supts? messrs comdr lieut assoc treas"""
)
BEFORE_DIGIT = _any("ca nos? op pp art figs? prop")
STARTERS = """A About According Additionally After An As At But Earlier He Her Here However If In It Last Many More Now
    Once One Other Our She Since So Some Such That The Their Then There These They This We What When While Yet You
    M[rs]\\."""
STARTER = _any(f"{STARTERS} {STARTERS.upper()}")  # after a single letter, these say that a sentence has ended
FILE_TYPE = _any(
    """bat bmp c cgi cpp dll docx? exe gif gz h html? jar java jpe?g mov mp3 pdf php pl png ppt ps py sql tar txt wav x
    xml zip"""
)
WITH_APOSTROPHE = _any(
    f"""{APOS}n{APOS} [ldj]{APOS} dunkin{APOS} somethin{APOS} ol{APOS} {APOS}em {APOS}till? {APOS}cause {APOS}[2-9]0s
    c{APOS}mon c{APOS}est cap{APOS}n nor{APOS}easter cont{APOS}d\\. ev{APOS}ry nat{APOS}l li{APOS}l s{APOS}mores
    e{APOS}er o{LOOSE_APOS}o"""
)
SPLIT_WORDS = frozenset(["cannot", "gonna", "gotta", "lemme", "gimme", "wanna"])
PLAIN_WORD = re.compile(r" *([a-z]+)(?=[ \n])")  # a short cut for most of a caption: no rule could match more here


class Rule(NamedTuple):
    """What a token looks like (group 1; the rest is context), and how it is spelled."""

    pattern: re.Pattern[str]
    spell: Callable[[str], str] = _as_is


def _rule(pattern: str, spell: Callable[[str], str] = _as_is, flags: int = 0) -> Rule:
    return Rule(re.compile(pattern, flags), spell)


RULES = (
    # Blanks, and words that are split although nothing marks the place.
    _rule(r"(\n)"),
    _rule(r"([^\S\n]+)", _nothing),
    _rule(r"(can(?=not)|g(?:on(?=na)|ot(?=ta)|im(?=me))|lem(?=me)|wan(?=na))(?:not|na|ta|me)", flags=re.I),
    _rule(r"('t)(?:is|was)", flags=re.I),
    # Tags and entities; a single letter before a tag or a sentence starter is a word and then a full stop.
    _rule(rf"({TAG})", _one_piece),
    _rule(rf"([A-Za-z])\.\s+(?:{TAG}|{STARTER})\s"),
    _rule(r"(&(?:amp|lt|gt|quot|apos|nbsp|mdash|ndash|md);|&\#\d+;)", _entity, re.I),
    # Words: man|'s, do|n't, plain ones, and those with an apostrophe inside.
    _rule(rf"({WORD}){SUFFIX}"),
    _rule(rf"([A-Za-z]*[A-MO-Za-mo-z]){NOT}"),
    _rule(rf"({WORD})"),
    _rule(rf"({WITH_APOSTROPHE})", flags=re.I),
    _rule(rf"([A-HJ-XZn]{LOOSE_APOS}{PURE}{{2,}}|{PURE}+[aeiouyAEIOUY]{LOOSE_APOS}[aeiouA-Z]{PURE}*)"),
    _rule(rf"([yY]{APOS}){PURE}"),
    # Addresses.
    _rule(rf"(https?://[^\s\"<>|(){{}}]+{URL_END})", flags=re.I),
    _rule(rf"((?:{WWW}|{HOST})/[^\s\"<>|()]+{URL_END})"),  # as short a host as a path can follow
    _rule(rf"({WWW.replace('+?', '+')}|{HOST.replace('+?', '+')})"),
    _rule(rf"({MAIL})"),
    _rule(rf"(@[A-Za-z_][A-Za-z_0-9]*|\#(?:{PURE}|{SPELLED})+)"),
    # Suffixes that stand at the start of a token, and numbers.
    _rule(rf"({SUFFIX}|{NOT})[^A-Za-z]", _quotes),
    _rule(r"(\d{1,2}[-/]\d{1,2}[-/]\d{2,4})"),
    _rule(rf"([-+]?{NUMBER})"),
    _rule(r"((?:\d{1,4}[- \xa0])?\d{1,4}\\?/\d{1,4})", _one_piece),
    _rule(rf"({APOS}\d\d)\s"),
    # Compounds and abbreviations; before [,;:] a compound keeps its full stop.
    _rule(rf"({COMPOUND})"),
    _rule(rf"((?:(?i:{ENDING})|{ENDING_CAPITAL})\.)[\s\S]{{2}}"),
    _rule(rf"({LIST_COMPOUND})"),
    _rule(rf"((?:{LIST_COMPOUND}|{COMPOUND}|{INITIALS}|{WORD})\.)[,;:]", _ampersand),
    _rule(rf"({SLASH_PART}(?:\\?/{SLASH_PART}){{1,2}})"),
    _rule(rf"({INITIALS}|[Cc]\+\+|[CcFf]\#)", _ampersand),
    _rule(rf"({PHONE})", _phone),
    _rule(rf"((?:(?i:{TITLE})|{ACRONYM}|[Mm][ft]g)\.)"),
    _rule(rf"((?i:{BEFORE_DIGIT})\.)\s?\d"),
    _rule(rf"((?:{ALNUM}|{SPELLED})+(?:\.(?:{ALNUM}|{SPELLED})+)*\.(?i:{FILE_TYPE}))[\s.?!,]"),
    # Signs that stay together, quotes, faces, and at last any character at all.
    _rule(r"([A-Z]*\$|\.{3,5}|(?:\.[ \xa0]){2,4}\.|@+|_+|\*+|(?:\\\*){1,3}|\#+|[?!]+|<<|>>)", _runs),
    _rule(r"([⁺⁻₊₋]?(?:[⁰¹²³⁴-⁹]+|[₀-₉]+))"),
    _rule(r"(-+)", _dashes),
    _rule(r"(''|[`\u2018-\u201f«»\u2039\u203a]{1,2})", _quotes),
    _rule(r"(')[A-Za-z]\S"),
    _rule(rf"({SUFFIX}|{NOT})", _quotes),
    _rule(rf"({APOS}[nN])"),
    _rule(r"([<>]?[:;=]['\-o*]?[()DPdpO\\{@|\[\]])[^A-Za-z0-9]", _parentheses),
    _rule(r"([-^x=~<>']_[-^x=~<>']|\([-^x=~<>'][_.]?[-^x=~<>']\)|\([\^x=~<>']-[\^x=~<>'`]\))", _parentheses),
    _rule(r"(-[LR][RCS]B-|pro-|anti-|S(?:&|&amp;)(?:P-500|Ls)|C\.D\.s)", _ampersand, re.I),
    _rule(r"([\s\S])", _sign),
)
