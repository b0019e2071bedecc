"""The report of kept records, with the claims and peers that were measured at other times.

python -m edgeau.benchmarks.studies.report_page report.json.gz --claims claims.json.gz --peers peers.json -o OUT.html
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edgeau.benchmarks.claims.page import read_rows
from edgeau.benchmarks.peers.page import end_to_end_rows, read_peers, rows
from edgeau.benchmarks.records import read_measurements, read_records
from edgeau.benchmarks.report import Extras, write_html
from edgeau.runtime.errors import EdgeauError
from edgeau.runtime.terminal import note


def main(arguments: list[str] | None = None) -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=Path, help="what `edgeau bench -o` wrote")
    parser.add_argument("--claims", type=Path, help="what `edgeau bench claims -o` wrote")
    parser.add_argument("--peers", type=Path, help="what `edgeau bench peers -o` wrote")
    parser.add_argument("-o", "--out", type=Path, required=True, help="HTML file to write")
    args = parser.parse_args(arguments)
    try:
        records, value = read_measurements(args.records), read_records(args.records)
        peers = read_peers(args.peers) if args.peers else None
        apart = args.claims or args.peers
        extras = Extras(
            notes=("The papers' claims and the peers were measured in runs of their own.",) if apart else (),
            peaks=value.get("peaks", ()),
            stages=value.get("stages", ()),
            claims=read_rows(args.claims) if args.claims else (),
            peers=rows(peers) if peers else (),
            end_to_end=end_to_end_rows(peers) if peers else (),
        )
        write_html(records, args.out, extras)
    except EdgeauError as error:
        note(f"report_page: {error}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
