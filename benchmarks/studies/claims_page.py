"""The page of the papers' claims with packages of all families; ``edgeau bench claims`` alone has only the shipped one.

    python -m edgeau.benchmarks.studies.claims_page -o benchmarks/results/claims
    python -m edgeau.benchmarks.studies.claims_page --packages build/claims -o OUT      # exported once, and kept there

CEDNN is the shipped package. The other families are exported with fresh weights, which changes no cost: SMA-Net and EAU
in the sizes that train on two CPU cores, and FAN-Trans on the public 2-stack FAN at 256 px.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from edgeau.benchmarks.claims.claims import read_claims
from edgeau.benchmarks.claims.evaluate import evaluate
from edgeau.benchmarks.claims.page import lines, read_claims_file, to_json, write_page
from edgeau.benchmarks.measurement import BenchOptions
from edgeau.benchmarks.records import write_records
from edgeau.export.package import ExportOptions, export_package
from edgeau.runtime.manifest import CropSpec, NeutralSpec
from edgeau.runtime.package import Package, shipped_package
from edgeau.runtime.terminal import note, say
from edgeau.train.checkpoint import Checkpoint, save_checkpoint
from edgeau.train.models import build_model, resolve_model

BP4D_AUS = ("AU01", "AU02", "AU04", "AU06", "AU07", "AU10", "AU12", "AU14", "AU15", "AU17", "AU23", "AU24")
PRESETS = ("sma-net-s", "sma-net-full", "fan-trans-full", "eau-s")


def main() -> None:
    """Export, measure, write OUT.html and OUT.json, print the claims."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, help="folder to export to; what is there is used (default: a new one)")
    parser.add_argument("--prepare", action="store_true", help="only export")
    parser.add_argument("--redraw", type=Path, metavar="FILE", help="measure nothing: the page of kept records")
    parser.add_argument("--warmup", type=float, default=BenchOptions.warmup_s, help="each (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=BenchOptions.seconds, help="each (default: %(default)s)")
    parser.add_argument("-o", "--out", type=Path, required=True, help="path without suffix")
    args = parser.parse_args()
    if args.redraw:
        write_page(args.out.with_suffix(".html"), read_claims_file(args.redraw))
        return
    papers, claims = read_claims()
    options = BenchOptions(warmup_s=args.warmup, seconds=args.seconds, energy=False)
    with tempfile.TemporaryDirectory(prefix="edgeau-") as folder:
        packages = [
            Package.open(shipped_package()),
            *(untrained(name, args.packages or Path(folder)) for name in PRESETS),
        ]
        if args.prepare:
            return
        outcomes, records = evaluate(claims, packages, options, progress=note)
    value = to_json(papers, outcomes, records)
    write_page(args.out.with_suffix(".html"), value)
    write_records(args.out.with_suffix(".json.gz"), value)
    for line in lines(papers, outcomes):
        say(line)


def untrained(preset: str, folder: Path) -> Package:
    """A package of a preset with fresh weights, for BP4D's 12 AUs; the one in the folder if it is there."""
    path = folder / f"{preset}.edgeau"
    if path.exists():
        return Package.open(path)
    folder.mkdir(parents=True, exist_ok=True)
    family, config = resolve_model(preset, {"aus": list(BP4D_AUS)})
    model = build_model(family, config)
    checkpoint = Checkpoint(
        family=family,
        config=config,
        state_dict=model.state_dict(),
        crop=CropSpec(size_px=model.config.size_px),
        neutral=NeutralSpec("first") if model.takes_neutral else NeutralSpec("none"),
        thresholds=(0.5,) * len(BP4D_AUS),
    )
    file = folder / f"{preset}.pt"
    save_checkpoint(file, checkpoint)
    note(f"export {preset}")
    return export_package(file, path, ExportOptions(notes="untrained"))


if __name__ == "__main__":
    main()
