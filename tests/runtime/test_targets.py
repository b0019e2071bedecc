"""The table of boards and JetPack releases."""

import pytest

from edgeau.runtime.errors import InputError
from edgeau.runtime.machine import CAPABILITY_BY_SOC
from edgeau.runtime.targets import BOARDS, JETPACK_BY_L4T, JETPACKS, board_of, only_soc_of, parse_target, slug_of


def test_a_board_alone_means_every_jetpack_that_runs_on_it():
    assert [jetpack.release for jetpack in parse_target("agx-xavier").jetpacks] == [
        "5.1", "5.1.1", "5.1.2", "5.1.3", "5.1.4", "5.1.5", "5.1.6", "5.1.7",
    ]  # fmt: skip
    assert {jetpack.python for jetpack in parse_target("orin-nano").jetpacks} == {"3.8", "3.10", "3.12"}


def test_a_board_with_a_jetpack_means_that_release_only():
    target = parse_target("Orin-Nano:6.2")
    assert (target.name, target.jetpacks[0].tensorrt, target.jetpacks[0].cuda) == ("orin-nano:6.2", "10.3.0", "12.6")


@pytest.mark.parametrize(
    ("text", "match"),
    [("orin-mano", "expected orin-nano, orin-nx"), ("xavier-nx:6.2", r"expected 5\.1"), ("thor:5.1", r"expected 7\.0")],
)
def test_an_unknown_board_or_release_lists_the_known_ones(text, match):
    with pytest.raises(InputError, match=match):
        parse_target(text)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("NVIDIA Jetson Orin Nano Developer Kit", "orin-nano"),
        # As a board with JetPack 5.1.4 reports it (SnapDragonfly/jetson-fpv, TESTENV.md).
        ("NVIDIA Orin Nano Developer Kit", "orin-nano"),
        ("NVIDIA Orin NX Developer Kit", "orin-nx"),
        ("NVIDIA Jetson AGX Orin Developer Kit", "agx-orin"),
        ("NVIDIA Jetson Xavier NX Developer Kit", "xavier-nx"),
        ("Jetson-AGX", "agx-xavier"),
        ("NVIDIA Jetson AGX Thor Developer Kit", "thor"),
    ],
)
def test_boards_are_recognised_by_their_device_tree(model, name):
    assert board_of(model).name == slug_of(model) == name


def test_other_machines_get_a_slug_for_file_names():
    assert slug_of("NVIDIA H200") == "nvidia-h200"
    assert slug_of(None) == "no-gpu"


def test_the_tables_of_boards_and_releases_are_consistent():
    for board in BOARDS:
        assert board.compute_capability == CAPABILITY_BY_SOC[board.soc]
        assert len(board.dla_cores) == len(board.memory_gib)
        assert parse_target(board.name).jetpacks
    for jetpack in JETPACKS:
        assert {JETPACK_BY_L4T[l4t] for l4t in jetpack.l4t} == {jetpack.release}
        assert jetpack.source


@pytest.mark.parametrize(
    ("l4t", "jetpack"),
    [("35.6.0", "5.1.4"), ("35.6.2", "5.1.5"), ("35.6.4", "5.1.6"), ("35.6.5", "5.1.7"), ("36.5.2", "6.2.3")],
)
def test_security_releases_of_jetson_linux_map_to_a_jetpack(l4t, jetpack):
    assert JETPACK_BY_L4T[l4t] == jetpack
    assert jetpack in {known.release for known in JETPACKS}


@pytest.mark.parametrize(
    ("l4t", "soc"),
    [
        ("36.4.3", "tegra234"),
        ("36.9.9", "tegra234"),
        ("38.2.0", "tegra264"),
        ("35.6.0", None),
        ("39.2.0", None),
        (None, None),
    ],
)
def test_a_release_for_a_single_chip_identifies_it(l4t, soc):
    assert only_soc_of(l4t) == soc
