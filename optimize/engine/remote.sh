# Runs on the device, as the one command of an ssh session. Standard input: @SIZE@ bytes of a bundle, then nothing until
# the other side goes away. Standard output: a tar of what was made. Standard error: progress.
set -u
build=
watch=
dir=$(mktemp -d "${HOME:-/tmp}/.edgeau-build-XXXXXX") || {
    echo "edgeau: can't make a folder in ${HOME:-/tmp} (is the disk full, or not writable?)" >&2
    exit 2
}
clean() {
    trap '' EXIT HUP INT TERM PIPE
    [ -z "$watch" ] || kill "$watch" 2>/dev/null
    if [ -n "$build" ]; then
        kill -- "-$build" 2>/dev/null || kill "$build" 2>/dev/null
        wait "$build" 2>/dev/null
    fi
    rm -rf "$dir"
}
trap 'clean' EXIT
trap 'clean; exit 2' HUP INT TERM PIPE
echo "@READY@" >&2
head -c @SIZE@ >"$dir/bundle.sh" 2>/dev/null
if [ "$(wc -c <"$dir/bundle.sh" | tr -d ' ')" != @SIZE@ ]; then
    free=$(df -Pk "$dir" | tail -n 1 | awk '{print $4}')
    echo "edgeau: the bundle of @SIZE@ bytes did not arrive whole in $dir (is the disk full? $free KiB are free)" >&2
    exit 2
fi
exec 3<&0
# When the other side is gone, its end of standard input is closed: stop, and leave nothing behind.
(while read -r _; do :; done; kill -TERM $$) <&3 >/dev/null 2>&1 &
watch=$!
# A session of its own makes it a process group, which ends as one.
setsid sh "$dir/bundle.sh" --into "$dir/work" --yes </dev/null >&2 &
build=$!
wait "$build" || exit 2
build=
cd "$dir/work" && tar -cf - report.json ./*.edgeau/engines
