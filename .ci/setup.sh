# Sourced by ./test and ./quickstart from the top of the checkout: installs what they need, once.
# shellcheck shell=bash

PACKAGES=(
    python3 python3-venv python3-dev gcc libc6-dev pkg-config libsystemd-dev # to build pystemd
    systemd systemd-container mmdebstrap debian-archive-keyring gpg          # to boot machines
    mount util-linux iproute2 procps tzdata ca-certificates
)
VM_PACKAGES=(qemu-system-x86 qemu-utils e2fsprogs)
STORE_PACKAGES=(postgresql pgbouncer) # the tests start servers of their own

say() { printf '[%3d s] %s\n' "$SECONDS" "$*" >&2; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 3; }

# Runs a command quietly; shows what it printed only when it fails.
quietly() {
    local log status=0
    log=$(mktemp)
    "$@" >"$log" 2>&1 </dev/null || status=$?
    [ "$status" = 0 ] || tail -n 40 "$log" >&2
    rm -f "$log"
    return "$status"
}

# Installs missing Debian packages; as another user than root it only says which are missing.
setup_packages() {
    local package missing=()
    command -v apt-get >/dev/null || return 0
    for package in "${PACKAGES[@]}"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            missing+=("$package")
    done
    [ "${#missing[@]}" = 0 ] && return 0
    if [ "$(id -u)" != 0 ]; then
        say "not root, so going on without: ${missing[*]}"
        return 0
    fi
    if [[ " ${missing[*]} " = *" postgresql "* ]]; then # no server but those of the tests
        mkdir -p /etc/postgresql-common/createcluster.d
        echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/hostagent.conf
    fi
    say "installing Debian packages: ${missing[*]}"
    quietly apt-get update || die "apt-get update failed"
    DEBIAN_FRONTEND=noninteractive quietly apt-get install --yes --no-install-recommends \
        "${missing[@]}" || die "apt-get install failed"
}

# Prints a Python >= 3.11, Debian's own if it will do.
find_python() {
    local python
    for python in /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11; do
        if "$python" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    die "no Python >= 3.11 found"
}

# Makes .venv with the project and its development tools; anew when pyproject.toml changed.
setup_venv() {
    local stamp=.venv/hostagent.stamp python key
    if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$(find_python)
        say "making .venv with $python"
        rm -rf .venv
        quietly "$python" -m venv .venv || die "$python -m venv failed"
    fi
    key=$({ cat pyproject.toml; pwd -P; .venv/bin/python -VV; } | sha256sum)
    [ "$(cat "$stamp" 2>/dev/null)" = "$key" ] && return 0
    say "installing the project's dependencies into .venv"
    quietly .venv/bin/pip install --disable-pip-version-check -e '.[dev]' ||
        die "pip install failed"
    echo "$key" >"$stamp"
}

# Builds the roots of the container machines that are asked for, if they are not cached.
setup_images() {
    .venv/bin/python tests/machine/images.py "$@" >/dev/null || die "a machine's root is missing"
}
