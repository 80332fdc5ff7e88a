#!/usr/bin/env bash
# A base image from Debian packages only, for a machine without access to an image registry:
#   bash tests/image/debian_base.sh trixie && just image --build-arg PYTHON_IMAGE=localhost/python:trixie
# Needs root, debootstrap and podman.
set -euo pipefail
suite="${1:-trixie}"
root=$(mktemp -d -t gofleet-base-XXXXXXXX)
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv,python-is-python3 "$suite" "$root" \
  ${MIRROR:+"$MIRROR"}
# As in Debian's slim images: no documentation, no translations, no package lists.
rm -rf "$root"/usr/share/{doc,info,locale,man}/* "$root"/var/{cache/apt,lib/apt/lists,log}/*
tar -C "$root" -c . | podman import - "localhost/python:$suite"
