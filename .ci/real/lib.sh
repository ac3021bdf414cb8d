# What the scripts of this folder share; sourced by each of them.
#
# A part is installed into a folder of the user's cache that is named after what is in it, so
# that nothing is installed twice and a new version never meets an old one.

set -euo pipefail

real=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=versions.env
. "$real/versions.env"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/llm-gateway-ci

# fail MESSAGE: ends the script; 69 is sysexits' EX_UNAVAILABLE.
fail() {
    echo "${0##*/}: $*" >&2
    exit 69
}

# need COMMAND PACKAGE: ends the script unless the command is there.
need() {
    command -v "$1" >/dev/null || fail "$1 is not installed; on Debian: apt-get install $2"
}

# pinned FILE TEXT: ends the script unless a pin of versions.env is also in FILE.
pinned() {
    grep -qF -- "$2" "$1" || fail "${1##*/} does not pin $2 as versions.env does"
}

# digest TEXT FILE...: a short name for a text and the content of files.
digest() {
    local text=$1
    shift
    { echo "$text"; cat -- "$@"; } | sha256sum | cut -c1-16
}

# install_once FOLDER COMMAND...: runs the command, which fills the folder, unless it has once
# ended well. Two at a time wait for each other; what broke half way is begun anew.
install_once() {
    local folder=$1
    shift
    [ -e "$folder/.complete" ] && return
    need flock util-linux
    mkdir -p "${folder%/*}"
    (
        flock 9
        [ -e "$folder/.complete" ] && exit
        echo "installing ${folder#"$cache"/}" >&2
        rm -rf "$folder"
        mkdir "$folder"
        "$@" >&2
        touch "$folder/.complete"
    ) 9>"$folder.lock"
}

# need_go: ends the script unless Go is there and new enough.
need_go() {
    command -v go >/dev/null || fail "Go $GO_MIN or newer is not installed"
    printf '%s\n' "go$GO_MIN" "$(go env GOVERSION)" | sort --version-sort --check=quiet ||
        fail "Go $GO_MIN or newer is needed, this is $(go env GOVERSION)"
}

# retry COMMAND...: runs a command that fetches, up to three times: Go itself tries only once. What
# has been fetched stays.
retry() {
    local attempt
    for attempt in 1 2; do
        "$@" && return
        echo "${0##*/}: attempt $attempt failed: $*" >&2
        sleep 5
    done
    "$@"
}

# go_build MODULE TARGET ARGUMENT...: builds what a folder's go.mod and go.sum pin into a file or
# folder of the cache; the checkout stays as it is.
go_build() {
    local module=$1 target=$2
    shift 2
    CGO_ENABLED=0 GOWORK=off GOFLAGS=-mod=readonly \
        retry go build -C "$module" -trimpath -buildvcs=false -o "$target" "$@"
}
