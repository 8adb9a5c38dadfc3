"""``captioner alt`` over a small site."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.command_line import NamedPredictor, Run
from tests.support.pictures import noise_image

INDEX = b"""<!doctype html>\r\n<h1>Caf\xe9</h1>
<img src="img/wide%20one.png"><img src="/img/small.png" alt="">\t<img src=https://example.org/a.png>
<p><img src="/img/wide one.png?v=2" class=hero></p>"""
README = "# Site\n\nLook: ![](img/small.png)\n\n```\n![](img/small.png)\n```\n"
LINT = [
    "index.html:3: no alternative text: img/wide%20one.png",
    "index.html:4: no alternative text: /img/wide one.png?v=2",
]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    (folder / "img").mkdir(parents=True)
    noise_image(1, 60).save(folder / "img/wide one.png")
    noise_image(2, 10).save(folder / "img/small.png")
    (folder / "index.html").write_bytes(INDEX)
    (folder / "README.md").write_text(README)
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "a.html").write_text("<img src=a.png>")
    return folder


def test_proposed_written_and_clean(
    run: Run, site: Path, named: NamedPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(site.parent)
    status, lines, told = run("alt", "site", "--lint")
    assert (status, lines) == (
        1,
        ["site/README.md:3: no alternative text: img/small.png", *(f"site/{x}" for x in LINT)],
    )
    assert "2 pages; images: 3 without one, 1 decorative, 1 of other sites" in told
    assert named.batches == []

    status, diff, told = run("alt", "site", "--all")
    assert status == 0
    assert [line for line in diff if line.startswith("+Look")] == ["+Look: ![v1 width 10](img/small.png)"]
    assert named.batches == [2]  # the photo that is there twice is captioned once
    assert (site / "index.html").read_bytes() == INDEX

    assert run("alt", "site", "--write", "--all")[:2] == (0, ["site/README.md", "site/index.html"])
    written = (site / "index.html").read_bytes()
    assert written.replace(b' alt="v1 width 60"', b"") == INDEX
    assert (site / "README.md").read_text() == README.replace("![]", "![v1 width 10]", 1)
    status, lines, told = run("alt", "site", "--lint")
    assert (status, lines) == (0, [])
    assert "3 with a text, 1 decorative" in told
    assert run("alt", "site", "--write", "--all")[:2] == (0, [])


def test_the_diff_is_one_that_patch_applies(
    run: Run, site: Path, named: NamedPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(site)
    (site / "index.html").write_bytes(INDEX.replace(b"\r", b"").decode("latin-1").encode())
    _, diff, _ = run("alt", ".", "--all")
    text = "\n".join(diff) + "\n"
    assert "\\ No newline at end of file" in diff
    (site / "page.diff").write_text(text, newline="")
    done = subprocess.run(
        ["git", "apply", "--check", "page.diff"], cwd=site, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_what_needs_review_is_left_out_and_missing_files_are_told(run: Run, site: Path, named: NamedPredictor) -> None:
    (site / "b.html").write_text('<img src="nowhere.png">')
    status, _, told = run("alt", site, "--write")
    assert status == 1
    assert "small.png: left out, a person should look at it: v1 width 10" in told
    assert "nowhere.png: No such file or directory" in told
    assert "2 given one, 2 without one" in told
    assert (site / "README.md").read_text() == README


def test_wrong_arguments(run: Run, site: Path, named: NamedPredictor) -> None:
    assert run("alt", site / "nothing.html")[0] == 2
    assert "it must end in .html" in run("alt", site / "img/small.png")[2]
    assert run("alt", site / "index.html", "--root", site, "--lint")[0] == 1


def test_markdown_without_markdown_it(
    run: Run, site: Path, named: NamedPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "markdown_it", None)
    status, _, told = run("alt", site, "--lint")
    assert (status, "pip install 'captioner[alt]'" in told) == (1, True)
    assert run("alt", site / "index.html", "--lint")[1] == [f"{site}/{line}" for line in LINT]
    named.info = replace(named.info, version="2")
    assert run("alt", site / "index.html", "--write")[0] == 0
