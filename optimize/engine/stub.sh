#!/bin/sh
# A bundle of edgeau: this script, and behind its last line an archive. sh FILE --help says more.
set -eu
self=$(basename -- "$0")
into=${self%.*}
[ "$into" != "$self" ] || into=$self.engine
yes=
again=no
fail() { printf '%s: %s\n' "$self" "$1" >&2; exit 2; }
archive() { tail -n +@LINES@ -- "$0"; }
while [ $# -gt 0 ]; do
    case $1 in
        --into) [ $# -gt 1 ] || fail "--into needs a folder"; into=$2; shift ;;
        --yes) yes=--yes ;;
        --again) again=yes ;;
        --list) archive | tar -tzf -; exit 0 ;;
        --help | -h)
            printf 'usage: sh %s [--into FOLDER] [--yes] [--again] [--list]\n' "$self"
            printf 'unpacks into FOLDER (%s), then builds, verifies and measures a TensorRT engine there\n' "$into"
            printf '%s\n' "--yes: don't ask; --again: run in a FOLDER that is there already; --list: only list the contents"
            exit 0 ;;
        *) fail "unknown option $1; see --help" ;;
    esac
    shift
done
# A name that begins with a dash is no option.
case $into in
    /*) ;;
    *) into=./$into ;;
esac
if [ "$again" = yes ]; then
    [ -f "$into/install.sh" ] || fail "$into holds no bundle to run again"
else
    [ ! -e "$into" ] || fail "$into exists; give --into another folder, or --again to run in it"
    [ "$(archive | sha256sum | cut -d' ' -f1)" = @SHA256@ ] || fail "this file is truncated or altered; copy it again"
    mkdir -p "$(dirname "$into")" 2>/dev/null && part=$(mktemp -d "$into.XXXXXX" 2>/dev/null) ||
        fail "can't make $into; give --into another folder"
    trap 'rm -rf "$part"' EXIT
    trap 'exit 2' INT TERM HUP
    archive | tar -xzf - -C "$part" || fail "could not unpack into $part (is the disk full?)"
    chmod 755 "$part"
    mv "$part" "$into"
    trap - EXIT INT TERM HUP
fi
exec sh "$into/install.sh" $yes
