"""Reads claims.json: the papers' efficiency claims, each with what it means as a test."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

_FILE = Path(__file__).with_name("claims.json")


@dataclass(frozen=True)
class Paper:
    """A paper: its short name, title, and where the quotes are from."""

    name: str
    title: str
    source: str


@dataclass(frozen=True)
class Claim:
    """A claim and its test.

    Attributes:
        id: its name here.
        family: of the model that it is about.
        quote: the paper's words.
        meaning: the test in words, which is our reading of the claim.
        metric: what is compared: ``parameters``, ``macs``, ``p50_ms`` or ``model_mib``; "" if it can't be tested.
        against: names in NETWORKS, or of a network derived from the model itself.
        at_most: the claim holds if our figure divided by each other one is at most this.
        at_least: if not None, that ratio must be at least this instead.
        same_input: whether the other networks get the input size of the package instead of their own.
        needs_size_px: the test needs a package with this input size.
        published: figures from publications, with their data; never mixed with ours.
        untestable: why it can't be tested here; "" if it can.
    """

    id: str
    family: str
    quote: str
    meaning: str
    metric: str = ""
    against: tuple[str, ...] = ()
    at_most: float = 1.0
    at_least: float | None = None
    same_input: bool = False
    needs_size_px: int | None = None
    published: str = ""
    untestable: str = ""


def read_claims() -> tuple[dict[str, Paper], list[Claim]]:
    """Papers by family, and all claims."""
    value = json.loads(_FILE.read_text("utf-8"))
    papers = {family: Paper(**entry) for family, entry in value["papers"].items()}
    claims = [Claim(**{**entry, "against": tuple(entry.get("against", ()))}) for entry in value["claims"]]
    return papers, claims
