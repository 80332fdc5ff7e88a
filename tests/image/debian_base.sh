#!/usr/bin/env bash
# A base image from Debian's packages alone, for a machine that reaches no registry of images:
#   bash tests/image/debian_base.sh trixie && just image --build-arg PYTHON_IMAGE=localhost/python:trixie
# Needs root, debootstrap and podman.
set -euo pipefail
suite="${1:-trixie}"
root=$(mktemp -d -t gofleet-base-XXXXXXXX)
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv,python-is-python3 "$suite" "$root" \
  ${MIRROR:+"$MIRROR"}
# As the slim images of Debian do: no documentation, no translations, no lists of packages.
rm -rf "$root"/usr/share/{doc,info,locale,man}/* "$root"/var/{cache/apt,lib/apt/lists,log}/*
tar -C "$root" -c . | podman import - "localhost/python:$suite"
