"""What tests do with the page in a browser."""

import base64

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import FilePayload, Locator, Page, expect

HOTTEST_CELL = """canvas => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let best = -1, at = null;
    for (let i = 0; i < data.length; i += 4) {
        const light = data[i + 3] && data[i] + data[i + 1] + data[i + 2];
        if (light > best) [best, at] = [light, i / 4];
    }
    const [x, y] = [at % canvas.width, Math.floor(at / canvas.width)];
    return best > 0 ? [Math.floor(y * 7 / canvas.height), Math.floor(x * 7 / canvas.width)] : null;
}"""
GIVE_FILE = """([kind, name, type, data]) => {
    const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
    const transfer = new DataTransfer();
    if (name) transfer.items.add(new File([bytes], name, { type }));
    const options = { bubbles: true, cancelable: true };
    document.body.dispatchEvent(kind === "paste"
        ? new ClipboardEvent("paste", { clipboardData: transfer, ...options })
        : new DragEvent(kind, { dataTransfer: transfer, ...options }));
}"""
# Words of two Latin letters and more that are seen or read out, apart from what is marked as English or as a name.
LATIN = """() => {
    const allowed = /^(JSON|JPEG|PNG|WebP|GIF|BMP|MiB|ms)$/;
    const isForeign = (element) => element.closest("[lang=en], [translate=no]");
    const texts = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const parent = walker.currentNode.parentElement;
        if (!isForeign(parent) && !parent.closest("script, style, [hidden]")) texts.push(walker.currentNode.data);
    }
    for (const element of document.body.querySelectorAll("[aria-label], [alt], [title], [placeholder]")) {
        if (isForeign(element)) continue;
        for (const name of ["aria-label", "alt", "placeholder"]) texts.push(element.getAttribute(name) ?? "");
        if (!element.closest(".strip")) texts.push(element.title);
    }
    texts.push(document.title.replace("Captioner", ""));
    return texts.flatMap((text) => text.match(/[A-Za-z]{2,}/g) ?? []).filter((word) => !allowed.test(word));
}"""


def give(page: Page, kind: str, name: str, data: bytes) -> None:
    page.evaluate(GIVE_FILE, [kind, name, "image/png", base64.b64encode(data).decode()])


def choose(page: Page, data: bytes, name: str = "photo.png") -> None:
    page.set_input_files("#file", {"name": name, "mimeType": "image/png", "buffer": data})


def choose_several(page: Page, photos: dict[str, bytes]) -> None:
    files: list[FilePayload] = [
        {"name": name, "mimeType": "image/png", "buffer": data} for name, data in photos.items()
    ]
    page.set_input_files("#file", files)


def words(page: Page) -> Locator:
    return page.locator("#caption .word")


def texts(page: Page) -> Locator:
    return page.locator("#caption .word > [lang=en]")


def thumbnails(page: Page) -> Locator:
    return page.get_by_role("region", name="Photos of this session").get_by_role("button", name="Photo ")


def active(page: Page) -> Locator:
    return page.locator("#caption .word.active")


def expect_caption(page: Page, red: int) -> None:
    expect(texts(page)).to_have_text(["a", "photo", "of", "red", str(red)])
    expect(page.locator("#picture")).to_have_attribute("alt", f"a photo of red {red}")
    expect(page.get_by_role("status")).to_have_text(f"Caption: a photo of red {red}")
    expect(page.locator("#timing")).to_contain_text("captioned in")


def expect_heat(page: Page, cell: tuple[int, int] | None) -> None:
    hottest = f"({HOTTEST_CELL})(document.querySelector('#heatmap'))"
    page.wait_for_function(f"cell => JSON.stringify({hottest}) === JSON.stringify(cell)", arg=cell)


def expect_no_violations(page: Page) -> None:
    page.wait_for_function("() => document.getAnimations().every((motion) => motion.playState !== 'running')")
    found = Axe().run(page).response["violations"]
    assert [(rule["id"], node["html"][:200]) for rule in found for node in rule["nodes"]] == []
