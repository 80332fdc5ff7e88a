#!/usr/bin/env bash
# Builds the image `gofleet:dev` with Docker, or with Buildah where Docker is not available, and prints its size.
# All arguments go to the builder: just image --build-arg PYTHON_IMAGE=registry.example/python:3.13
set -euo pipefail
cd "$(dirname "$0")/../.."
image="${IMAGE:-gofleet:dev}"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
revision=$(git describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null || echo unknown)
arguments=(--build-arg "VERSION=$version" --build-arg "REVISION=$revision" --tag "$image")
if docker version >/dev/null 2>&1; then
  docker build "${arguments[@]}" "$@" .
  bytes=$(docker image inspect --format '{{.Size}}' "$image")
elif command -v buildah >/dev/null; then
  # In Docker's format: the OCI format has no health check.
  buildah build --layers --format docker "${arguments[@]}" "$@" .
  bytes=$(podman image inspect --format '{{.Size}}' "$image")
else
  echo "neither Docker nor Buildah is installed: run, for example, apt-get install buildah podman" >&2
  exit 1
fi
echo "$image: $((bytes / 1000000)) MB"
