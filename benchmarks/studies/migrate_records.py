"""Rewrite files of measurements of an older schema in the present one, and print their tables.

    python -m edgeau.benchmarks.studies.migrate_records benchmarks/results/families.json.gz

Figures stay as they were measured, and each record's ``protocol`` still says how. A file of the present schema is left
as it is.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from edgeau.benchmarks.columns import lines
from edgeau.benchmarks.comparison import with_fp32_ratios
from edgeau.benchmarks.measurement import PROTOCOL
from edgeau.benchmarks.records import document, read_measurements, read_records, write_records
from edgeau.runtime.errors import EdgeauError
from edgeau.runtime.terminal import note, say


def main(arguments: list[str] | None = None) -> int:
    """Migrate each file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    args = parser.parse_args(arguments)
    try:
        for file in args.files:
            for line in lines(_migrated(file)):
                say(line)
    except EdgeauError as error:
        note(f"migrate_records: {error}")
        return 2
    return 0


def _migrated(file: Path) -> list[dict[str, Any]]:
    """The records of a file, which is rewritten if its schema is older."""
    value = read_records(file)
    records = read_measurements(file)
    if value.get("schema") == PROTOCOL:
        return records
    records = with_fp32_ratios(records)
    write_records(file, document(records, value.get("failures", []), value.get("peaks", []), value.get("stages", [])))
    return records


if __name__ == "__main__":
    sys.exit(main())
