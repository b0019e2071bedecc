"""Printed text can't control the terminal."""

import pytest

from edgeau.runtime.terminal import note, printable, say


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mred\x1b[0m", "a[31mred[0m"),
        ("\x1b]0;title\x07x", "]0;titlex"),
        ("back\b\rspace\x9b2J", "backspace2J"),
        ("exe\u202egpj.scr", "exegpj.scr"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("Grüße, 漢字 ✓", "Grüße, 漢字 ✓"),
    ],
)
def test_escape_sequences_are_removed_and_text_is_kept(text, shown, capsys):
    assert printable(text) == shown
    say(text)
    note(text)
    captured = capsys.readouterr()
    assert captured.out == captured.err == shown + "\n"
