#!/bin/sh
# What tests/acceptance/test_compose.py needs besides Python: Docker's engine, and what makes base images. Needs root.
set -eu
packages=
for pair in dockerd:docker.io docker:docker.io iptables:iptables debootstrap:debootstrap openssl:openssl curl:curl; do
    command -v "${pair%%:*}" > /dev/null || packages="$packages ${pair#*:}"
done
test -n "$packages" || exit 0
echo "installing$packages"
# shellcheck disable=SC2086
install() { DEBIAN_FRONTEND=noninteractive apt-get install --quiet --quiet --yes --no-install-recommends $packages > /dev/null; }
install 2> /dev/null || { apt-get update --quiet --quiet && install; }
