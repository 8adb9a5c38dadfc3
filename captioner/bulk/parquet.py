"""Parquet, of which pyarrow is asked only once it is needed: it is an extra."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from captioner.errors import ConfigError, OptionError

ROWS_AT_ONCE = 4096


def require_parquet() -> None:
    """Make sure that Parquet can be read and written.

    Raises:
        ConfigError: If pyarrow is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401, PLC0415
    except ModuleNotFoundError:
        raise ConfigError(
            "Parquet needs pyarrow, which is not installed; pip install 'captioner[parquet]' installs it"
        ) from None


def iterate_column(path: str, column: str) -> Iterator[str]:
    """Yield a column of texts, a few thousand rows in memory at a time; an empty text where there is none.

    Raises:
        ConfigError: If pyarrow is not installed.
        OptionError: If the file is no Parquet, has no such column, or if it does not hold texts.
    """
    require_parquet()
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if column not in names:
                raise OptionError(f"{path}: no column {column!r}; there is {', '.join(names)} (--column names it)")
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=[column]):
                for value in batch.column(0).cast(pa.string()).to_pylist():
                    yield value or ""
    except pa.ArrowException as error:
        raise OptionError(f"{path}: column {column!r} cannot be read: {error}") from None


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], *, attention: bool) -> None:
    """Write rows as :mod:`captioner.bulk.shards` makes them."""
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    word = pa.struct(
        [("text", pa.string()), ("log_prob", pa.float64()), ("known", pa.bool_()), ("confidence", pa.float64())]
    )
    fields = [
        ("path", pa.string()),
        ("member", pa.string()),
        ("error", pa.string()),
        ("caption", pa.string()),
        ("log_prob", pa.float64()),
        ("confidence", pa.float64()),
        ("needs_review", pa.bool_()),
        ("words", pa.list_(word)),
    ]
    if attention:
        fields.append(("attention", pa.list_(pa.list_(pa.list_(pa.float32())))))
    parquet.write_table(pa.Table.from_pylist(list(rows), pa.schema(fields)), path, compression="zstd")


def count_rows(path: Path) -> tuple[int, int]:
    """Return how many rows a file has, and how many of them hold an error."""
    from pyarrow import parquet  # noqa: PLC0415

    errors = parquet.read_table(path, columns=["error"]).column(0)
    return len(errors), len(errors) - errors.null_count
