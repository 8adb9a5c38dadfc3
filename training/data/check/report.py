"""What a check found, for people to read."""

import textwrap
from collections import Counter
from collections.abc import Iterator

from training.data.check.check import PartFacts, Report
from training.data.check.findings import LEVELS, Finding
from training.data.check.words import Lengths

BAR, WIDTH = 40, 110  # characters of the longest bar, and of a line


def report_text(report: Report) -> str:
    """Return a report as lines of text."""
    tokens = f"{report.options.tokenizer}s"
    parts = ["\n".join(_part(facts, tokens)) for facts in report.facts]
    if report.facts[0].lengths.total:
        parts[0] += f"\n{_cut(report.facts[0].lengths)}"
    return "\n\n".join([*parts, "\n".join(_vocabulary(report, tokens)), "\n\n".join(_findings(report))])


def _part(facts: PartFacts, tokens: str) -> Iterator[str]:
    part, lengths = facts.part, facts.lengths
    per_photo = sorted(sum(map(bool, entry.captions)) for entry in part.entries) or [0]
    spread = f"{per_photo[0]}" if per_photo[0] == per_photo[-1] else f"{per_photo[0]} to {per_photo[-1]}"
    yield f"{part.name}: {part.annotations}, photos in {part.images}"
    yield f"  {len(part.entries):,} photos, {lengths.total:,} captions, {spread} per photo"
    if lengths.total:
        yield f"  {tokens} per caption: mean {lengths.mean:.1f}, median {lengths.median}, longest {lengths.longest}"
        yield from _histogram(lengths)


def _cut(lengths: Lengths) -> str:
    share = lengths.cut / lengths.total
    return f"  longer than max_tokens = {lengths.limit}, and hence cut: {lengths.cut:,} ({share:.2%})"


def _histogram(lengths: Lengths) -> Iterator[str]:
    bins = lengths.bins()
    most = max(count for _, _, count in bins)
    for low, high, count in bins:
        name = f"{low}" if low == high else f"{low}-{high}"
        bar = "█" * round(BAR * count / most) or ("▏" if count else "")
        yield f"  {name:>9} {bar:<{BAR}} {count:>9,}"


def _vocabulary(report: Report, tokens: str) -> Iterator[str]:
    first, *others = report.facts
    read = others or [first]
    yield f"vocabulary: the {tokens} of {first.part.name}; how much of the others it covers, by tokenizer.min_count"
    heads = "".join(f"  {f'{facts.part.name}: all':>16}{'different':>11}" for facts in read)
    yield f"  {'min_count':>9}{'size':>9}{heads}"
    for rows in sorted(zip(*(facts.coverage for facts in read), strict=True), key=lambda rows: rows[0].min_count):
        mark = "*" if rows[0].min_count == report.options.min_count else " "
        shares = "".join(f"  {row.tokens:>16.2%}{row.types:>11.1%}" for row in rows)
        yield f" {mark}{rows[0].min_count:>9}{rows[0].size:>9,}{shares}"
    for facts in read:
        if facts.unknown:
            words = ", ".join(f"{word} ({count})" for word, count in facts.unknown)
            yield from _wrap(f"most frequent unknown {tokens} of {facts.part.name}: {words}", "  ", "    ")


def _findings(report: Report) -> Iterator[str]:
    for finding in report.findings:
        yield "\n".join(_finding(finding))
    levels = Counter(finding.level for finding in report.findings)
    counts = ", ".join(f"{level}: {levels[level]}" for level in LEVELS if levels[level])
    yield f"Findings: {counts or 'none'}."


def _finding(finding: Finding) -> Iterator[str]:
    yield f"{finding.level.upper():<8} {finding.part}: {finding.what}: {finding.count:,}"
    for example in finding.examples:
        yield f"         {example[:WIDTH]}"
    rest = finding.count - len(finding.examples)
    if finding.examples and rest > 0:
        yield f"         and {rest:,} more"
    yield from _wrap(f"-> {finding.advice}", "         ", "            ")


def _wrap(text: str, first: str, rest: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=rest)
