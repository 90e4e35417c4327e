#!/bin/sh
# Fills $BUILD_CONTEXT for Containerfile.local and Containerfile.migrate.local: Debian's Python with the wheels of
# requirements.txt, as one layer, and the application. Base images cannot be pulled where only package registries are
# reachable. Needs this machine to be a Debian; the layer is kept in the cache until a package or a wheel changes.
set -eu
: "${BUILD_CONTEXT:?the directory to fill}"
machine=$(dpkg --print-architecture)
[ "${TARGETARCH:-$machine}" = "$machine" ] || {
    echo "local-context.sh: this machine's packages are for $machine, not $TARGETARCH: build with Dockerfile" >&2
    exit 1
}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dbos-kubernetes
mkdir -p "$cache"
work=$(mktemp -d "$cache/python-starter.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# What a container of Python has no use for counts as installed.
for package in debconf dpkg ca-certificates; do
    printf 'Package: %s\nStatus: install ok installed\nArchitecture: all\nVersion: 999\n\n' "$package"
done >"$work/status"
mkdir -p "$work/packages/partial"
get() {
    apt-get -qq -y --no-install-recommends -o APT::Sandbox::User=root -o Debug::NoLocking=true -o Dir::State::Status="$work/status" \
        -o Dir::Cache::Archives="$work/packages" "$@" install python3 python3-pip-whl libstdc++6
}
get --print-uris >"$work/uris" || {
    echo "local-context.sh: apt knows no package python3 here; 'apt-get update' may help" >&2
    exit 1
}
layer=$cache/python-starter-$(cat "$work/uris" requirements.txt "$0" | sha256sum | cut -c -16).tar

if [ ! -s "$layer" ]; then
    get --download-only
    root=$work/root
    mkdir "$root"
    for package in "$work"/packages/*.deb; do
        dpkg-deb --extract "$package" "$root"
    done
    # The image's own Python, on its own C library, fetches the wheels that fit it, tries and compiles them.
    packages=$root/usr/local/lib/dbos
    libraries=$(echo "$root"/lib/*-linux-gnu):$(echo "$root"/usr/lib/*-linux-gnu)
    pip=$(echo "$root"/usr/share/python-wheels/pip-*.whl)
    python() {
        PYTHONHOME=$root/usr PYTHONPATH=$packages:$pip PIP_ROOT_USER_ACTION=ignore \
            "$(echo "$root"/lib*/ld-linux-*.so.*)" --inhibit-cache --library-path "$libraries" "$root/usr/bin/python3" "$@"
    }
    python -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-compile --only-binary :all: \
        --require-hashes --requirement requirements.txt --target "$packages"
    python -c 'import dbos'
    rm -rf "$root"/usr/share/doc "$root"/usr/share/man "$root"/usr/share/python-wheels "${packages:?}/bin"
    python -m compileall -q -j 0 --invalidation-mode unchecked-hash -s "$root" "$root/usr/lib" "$packages"
    mkdir -p "$root/etc/ssl/certs" "$root/usr/local/bin"
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    printf '#!/usr/bin/python3\nfrom dbos.cli.cli import app\napp()\n' >"$root/usr/local/bin/dbos"
    chmod 755 "$root/usr/local/bin/dbos"
    tar --create --file "$work/layer" --directory "$root" --sort name --owner 0 --group 0 --numeric-owner .
    mv "$work/layer" "$layer"
fi
cp "$layer" "$BUILD_CONTEXT/python.tar"
cp ./*.py "$BUILD_CONTEXT/"
