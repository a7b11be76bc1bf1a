"""How answers are shown: tables for people, JSON for programs. Data goes to stdout, everything else to stderr."""

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import click

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

GAP = "  "


@dataclass(frozen=True, slots=True)
class Table:
    """Rows below a head; numbers stand to the right."""

    head: tuple[str, ...]
    rows: Sequence[tuple[str | int | float, ...]]


def cell_text(value: str | int | float) -> str:
    """Show one value; a fraction with two digits."""
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def table_text(table: Table) -> str:
    """Lay a table out in columns, without trailing blanks."""
    cells = [table.head, *(tuple(cell_text(value) for value in row) for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    right = [
        bool(table.rows) and not any(isinstance(row[i], str) for row in table.rows) for i in range(len(table.head))
    ]
    lines = (
        GAP.join(
            text.rjust(width) if flush else text.ljust(width)
            for text, width, flush in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    )
    return "\n".join(lines)


def moment(ms: int) -> str:
    """Show milliseconds since 1970 as a moment in UTC; "-" for none."""
    if not ms:
        return "-"
    at = datetime.datetime.fromtimestamp(ms / 1000, tz=datetime.UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}.{ms % 1000:03d}Z"


def bare(name: str) -> str:
    """Drop the collection from a resource name: "dataCenters/fra1" becomes "fra1"."""
    return name.rpartition("/")[2]


def show_table(table: Table) -> None:
    """Print a table."""
    click.echo(table_text(table))


def show_record(record: Mapping[str, str | int | float]) -> None:
    """Print one thing, a line per value."""
    width = max(map(len, record))
    for name, value in record.items():
        click.echo(f"{name.ljust(width)}{GAP}{cell_text(value)}".rstrip())


def show_json(value: Json) -> None:
    """Print a JSON document."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_json_line(value: Json) -> None:
    """Print a JSON document on one line, for streams."""
    click.echo(json.dumps(value, ensure_ascii=False))


def note(line: str) -> None:
    """Tell progress, apart from the data."""
    click.echo(line, err=True)
