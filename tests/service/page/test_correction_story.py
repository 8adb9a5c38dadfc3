"""The story of a correction, from the page to the new word: a real service, a real model, a real Chromium."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from captioner.checkpoint import save_checkpoint
from captioner.runtimes.export import export_checkpoint
from tests.support.browsing import choose, texts
from tests.support.growing import FAST, make_growable
from tests.support.pictures import noise_image

pytestmark = [pytest.mark.browser, pytest.mark.slow]
LONG = 240_000  # milliseconds in which something must have happened
SENTENCE = "a wombat on the grass"


def picture(red: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), (red, 30, 255 - red)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_checkpoint(make_growable(), path)
    export_checkpoint(path, path)
    return path


@pytest.fixture
def url(model: Path, tmp_path: Path) -> Iterator[str]:
    """Serve the model in a process of its own, which looks for a new one every second."""
    flags = ["--port", "0", "--reload-seconds", "1", "--max-batch", "1", "--log-level", "warning"]
    command = [sys.executable, "-m", "service", *flags, "--checkpoint", str(model)]
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [*command, "--corrections", str(tmp_path / "kept")],
        stdout=subprocess.PIPE, text=True, cwd=root, env={**os.environ, "PYTHONPATH": str(root)},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate()


def grow(model: Path, folder: Path) -> None:
    """Let the model learn, beside photos that it is shown again, and put it in the place of the old one."""
    old = folder / "old"
    old.mkdir()
    for number in range(6):
        noise_image(number).save(old / f"{number}.png")
    (folder / "old.csv").write_text("file,caption\n" + "".join(f"{number}.png,two children\n" for number in range(6)))
    past = ["--annotations", str(folder / "old.csv"), "--images", str(old)]
    place = ["--corrections", str(folder / "kept"), "--checkpoint", str(model), "--out", str(model)]
    root = Path(__file__).parents[3]
    subprocess.run(
        [sys.executable, "-m", "training", "grow", *place, *past, "--cache", str(folder / "cache"), *FAST],
        check=True, cwd=root, env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip


def version(url: str) -> str:
    with urlopen(f"{url}/v1/model") as answer:  # noqa: S310 - our own service
        return str(answer.read())


def say(page: Page, red: int) -> None:
    """Let the page caption a photo of a colour."""
    choose(page, picture(red), f"{red}.png")
    expect(page.locator("#timing")).to_contain_text("captioned in", timeout=LONG)


def test_a_caption_is_fixed_the_model_learns_it_and_says_it(
    browser: Browser, url: str, model: Path, tmp_path: Path
) -> None:
    page = browser.new_page()
    page.goto(url, timeout=LONG)
    say(page, 100)
    assert "wombat" not in " ".join(texts(page).all_text_contents())
    page.get_by_label("Fix this caption").fill(SENTENCE)
    page.keyboard.press("Enter")
    expect(page.get_by_text("Your correction is kept")).to_be_visible(timeout=LONG)
    page.get_by_label("Score your own sentence").fill(SENTENCE)
    page.keyboard.press("Enter")
    expect(page.locator(".unknown > [lang=en]")).to_have_text(["wombat"], timeout=LONG)
    grow(model, tmp_path)
    for _ in range(240):
        page.wait_for_timeout(1000)
        if "7.1" in version(url):
            break
    page.reload(timeout=LONG)
    for red in (100, 104):  # the photo itself, and one like it that nobody has corrected
        say(page, red)
        expect(texts(page).filter(has_text="wombat")).to_have_count(1, timeout=LONG)
        expect(page.locator("#timing")).to_contain_text("small 7.1")
    page.context.close()
