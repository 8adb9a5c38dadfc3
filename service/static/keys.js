// The keys of the page: arrows walk the words of the caption, space plays it, Escape clears it.

/**
 * Listen for keys.
 *
 * @param {Result} result What they act upon.
 * @param {(id: string) => HTMLElement} part Gives an element of the page by its id.
 */
export function listenForKeys(result, part) {
  const { caption } = result;
  const anywhere = {
    ArrowLeft: () => caption.step(-1),
    ArrowRight: () => caption.step(1),
    Escape: () => caption.clear(),
  };
  const onWords = { Home: () => caption.focus(0), End: () => caption.focus(caption.length - 1) };
  const isWithin = (event, id) => part(id).contains(event.target);

  document.addEventListener("keydown", (event) => {
    const isOnWords = isWithin(event, "caption");
    const isPlay = isOnWords && event.key === " ";
    const action = isPlay ? () => result.togglePlay() : (anywhere[event.key] ?? (isOnWords && onWords[event.key]));
    if (!action || !caption.length || isMeantOtherwise(event)) return;
    event.preventDefault();
    if (!isPlay) result.player.stop();
    action();
  });
  part("caption").addEventListener("keyup", (event) => {
    if (event.key === " ") event.preventDefault(); // or some browsers would click the word
  });
}

/** Whether a key belongs to a field, or to the browser. */
function isMeantOtherwise(event) {
  const isShortcut = event.altKey || event.ctrlKey || event.metaKey || event.shiftKey;
  return isShortcut || event.target.closest("input, select, details, dialog") !== null;
}
