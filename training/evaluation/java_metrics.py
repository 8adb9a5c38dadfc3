"""METEOR and SPICE, which exist in Java only, by the programs that pycocoevalcap ships.

METEOR (Denkowski and Lavie 2014) comes whole with pycocoevalcap. SPICE (Anderson et al. 2016) also needs Stanford
CoreNLP 3.6.0, which pycocoevalcap downloads when SPICE is first used; nothing is downloaded here.
"""

import importlib.util
import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from training.evaluation.metrics import MetricError, tokenize_captions

METEOR_JAR, SPICE_JAR = "meteor-1.5.jar", "spice-1.0.jar"
CORENLP = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")
ENGLISH = ("-Duser.language=en", "-Duser.country=US", "-Dfile.encoding=UTF-8")  # points, not commas, in numbers


def missing_for_meteor() -> str:
    """Say what METEOR lacks here, in a sentence; an empty text if it can run."""
    return _missing("METEOR", _folder("meteor"), [METEOR_JAR])


def missing_for_spice() -> str:
    """Say what SPICE lacks here, in a sentence; an empty text if it can run."""
    lacking = _missing("SPICE", _folder("spice"), [SPICE_JAR, *(f"lib/{name}" for name in CORENLP)])
    if any(name in lacking for name in CORENLP):
        return f"{lacking}, which its get_stanford_models downloads"
    return lacking


def meteor(candidates: Mapping[int, str], references: Mapping[int, Sequence[str]]) -> float:
    """Return METEOR 1.5 of one caption per image, as COCO's evaluation computes it.

    Raises:
        MetricError: If METEOR cannot run, or does not answer as expected.
    """
    if lacking := missing_for_meteor():
        raise MetricError(lacking)
    truths, guesses, _ = tokenize_captions(candidates, references)
    command = ["java", "-Xmx2G", *ENGLISH, "-jar", METEOR_JAR, "-", "-", "-stdio", "-l", "en", "-norm"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=_folder("meteor"), text=True, encoding="utf-8", **pipes) as program:  # type: ignore[call-overload]  # noqa: S603
        try:
            ask, answers = program.stdin, program.stdout
            facts = [_ask(ask, answers, ["SCORE", *truths[image], guesses[image][0]]) for image in truths]
            lines = [_ask(ask, answers, ["EVAL", *facts]), *(answers.readline() for _ in facts)]
            return float(lines[-1])  # one score per image comes before that of them all
        except (OSError, ValueError) as error:
            raise MetricError(f"METEOR did not answer as expected: {error}") from None
        finally:
            program.kill()


def _ask(questions: IO[str], answers: IO[str], parts: Sequence[str]) -> str:
    questions.write(" ||| ".join(parts) + "\n")
    questions.flush()
    return answers.readline().strip()


def spice(candidates: Mapping[int, str], references: Mapping[int, Sequence[str]]) -> float:
    """Return SPICE of one caption per image, the mean F-score over images.

    Raises:
        MetricError: If SPICE cannot run, or fails.
    """
    if lacking := missing_for_spice():
        raise MetricError(lacking)
    truths, guesses, _ = tokenize_captions(candidates, references)
    entries = [{"image_id": image, "test": guesses[image][0], "refs": truths[image]} for image in truths]
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder, "asked.json"), Path(folder, "answered.json")
        asked.write_text(json.dumps(entries))
        command = ["java", "-Xmx8G", *ENGLISH, "-jar", SPICE_JAR, str(asked), "-out", str(answered), "-silent"]
        done = subprocess.run(command, cwd=_folder("spice"), capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode or not answered.exists():
            raise MetricError(f"SPICE failed: {done.stderr.strip()[-300:] or done.returncode}")
        scores = [float(entry["scores"]["All"]["f"]) for entry in json.loads(answered.read_text())]
    return sum(scores) / len(scores)


def _folder(name: str) -> Path | None:
    if importlib.util.find_spec("pycocoevalcap") is None:
        return None
    spec = importlib.util.find_spec(f"pycocoevalcap.{name}")
    return next((Path(folder) for folder in (spec and spec.submodule_search_locations) or ()), None)


def _missing(metric: str, folder: Path | None, names: Sequence[str]) -> str:
    if shutil.which("java") is None:
        return f"{metric} needs java on the PATH"
    if folder is None:
        return f"{metric} needs the package pycocoevalcap"
    absent = [name for name in names if not (folder / name).is_file()]
    return f"{metric} needs {' and '.join(absent)} in the folder of pycocoevalcap.{folder.name}" if absent else ""
