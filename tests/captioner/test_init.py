"""What ``import captioner`` offers, and that it is loaded only once it is asked for."""

import subprocess
import sys
from pathlib import Path

import pytest

import captioner
from captioner.decoding import DecodingOptions
from captioner.predictor import CaptionPredictor
from captioner.types import Caption

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("code", ["", "; dir(captioner)", "; captioner.__version__", "; hasattr(captioner, 'torch')"])
def test_importing_the_package_is_light(code: str) -> None:
    code = f"import sys, captioner{code}; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


def test_the_names_of_the_package_are_those_of_its_modules() -> None:
    assert captioner.CaptionPredictor is CaptionPredictor
    assert captioner.Caption is Caption
    assert captioner.DecodingOptions is DecodingOptions
    assert set(captioner.__all__) <= set(dir(captioner))
    assert all(hasattr(captioner, name) for name in captioner.__all__)


def test_other_names_are_errors_as_ever() -> None:
    with pytest.raises(AttributeError, match="module 'captioner' has no attribute 'Captions'"):
        getattr(captioner, "Captions")  # noqa: B009
    assert subprocess.run(
        [sys.executable, "-c", "from captioner import Captions"], check=False, cwd=ROOT, capture_output=True
    ).stderr.endswith(b"(" + str(ROOT / "captioner/__init__.py").encode() + b")\n")
