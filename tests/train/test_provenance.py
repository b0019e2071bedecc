"""Provenance: a package recognises the subjects it was trained on without naming them."""

from edgeau.train.provenance import used_subjects, without_names

SUBJECTS = {"train": [f"F{n:03d}" for n in range(500)], "val": ["M001"], "test": ["M002", "M003"]}


def test_hashed_subjects_are_recognised_and_contain_no_names():
    options = {"batch": 32, "split": SUBJECTS, "held_out": SUBJECTS["test"]}
    made = {"seed": 1, "subjects": SUBJECTS, "options": options}
    hashed = without_names(made)
    assert "F001" not in str(hashed)
    assert "M002" not in str(hashed)
    assert hashed["options"] == {"batch": 32}
    assert len(str(hashed)) < 0.8 * len(str(made))
    assert [hashed["subjects"][part]["count"] for part in ("train", "val", "test")] == [500, 1, 2]
    for provenance in (made, hashed):
        used = used_subjects(provenance)
        assert [used(name) for name in ("F000", "F499", "M001", "M002", "F500")] == [True, True, True, False, False]


def test_provenance_without_subjects_is_left_alone():
    assert without_names({"seed": 1}) == {"seed": 1}
    assert not used_subjects({})("F001")
