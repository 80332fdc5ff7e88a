set shell := ["bash", "-euo", "pipefail", "-c"]
export UV_PYTHON_DOWNLOADS := "never"

# List the recipes
_default:
    @just --list --unsorted

# The whole system on this machine, without Docker
[group('try')]
demo *args:
    uv run gofleet demo {{args}}

# The whole system in containers
[group('try')]
up *args:
    docker compose up --build {{args}}

# Stop the containers; add --volumes to forget the data
[group('try')]
down *args:
    docker compose down {{args}}

# Play roles against your own servers: just run api,relay
[group('try')]
run roles="all":
    uv run gofleet run --role {{roles}}

# Everything CI checks
[group('check')]
check: lint test

# All tests, on real PostgreSQL, Valkey and RabbitMQ
[group('check')]
test *args: servers
    @# compiled, for hundreds of processes start in the tests, perhaps where none keeps its own
    @uv sync --quiet --compile-bytecode --group chart --group load
    uv run --group chart --group load pytest {{args}}

# Milliseconds: domain, use cases and guards in memory
[group('check')]
quick *args:
    uv run pytest tests/domain tests/usecases tests/guards {{args}}

# The promises of every port, on memory and on the real servers
[group('check')]
contract *args: servers
    uv run pytest tests/contract {{args}}

# Four processes on real servers
[group('check')]
journeys *args: servers
    uv run pytest tests/journeys {{args}}

# Disasters on real servers: just chaos, just chaos F5 F9 --seed 7, just chaos all, just chaos nemesis --minutes 10
[group('check')]
chaos *args:
    @bash tests/install_servers.sh faketime
    uv run python -m tests.chaos {{args}}

# Thousands of requests, valid and not, against a real installation: just schemathesis --examples 300 --seed 7
[group('check')]
schemathesis *args:
    uv run python -m tests.conformance {{args}}

# The protocol under every interleaving of a small world; `--budget large` takes minutes, `--traces` shows what fails
[group('check')]
model *args:
    uv run python -m tests.model {{args}}

# k6 on an installation of its own, fleet killed meanwhile in the second: just load ramp --rate 50, just load breaker
[group('check')]
load *args: servers
    uv run --group load python -m tests.load {{args}}

# What it costs on this machine: just bench pages
[group('check')]
bench *args:
    uv run python -m tests.bench {{args}}

# Style, types, and who may import whom
[group('check')]
lint:
    uv run ruff check
    uv run ruff format --check
    uv run basedpyright
    uv run lint-imports

# Repair what can be repaired automatically
[group('develop')]
fix:
    uv run ruff check --fix
    uv run ruff format

# Write down what REST, events and gRPC promise: proto/*.json and the code of fleet.proto; refuses what breaks anybody
[group('develop')]
contracts *args:
    uv run python -m tests.contracts {{args}}

alias proto := contracts

# Write the settings into the schema of the Helm chart's values
[group('develop')]
chart:
    uv run python -m tests.chart

# Bring a database's schema up to date
[group('develop')]
migrate *args:
    uv run gofleet migrate {{args}}

# RabbitMQ and Redis from Debian's packages, if they are missing; the tests start private instances of them
[group('develop')]
servers:
    @bash tests/install_servers.sh

# Known vulnerabilities in what is shipped, as locked
[group('ship')]
audit:
    mkdir -p dist
    uv export --quiet --frozen --no-dev --no-emit-project --output-file dist/shipped.txt
    uv run --isolated --only-group ship pip-audit --strict --require-hashes --disable-pip --requirement dist/shipped.txt

# What the image holds, as a CycloneDX document in dist/: parts, licences, and who needs whom
[group('ship')]
sbom:
    UV_PROJECT_ENVIRONMENT=dist/shipped uv sync --quiet --frozen --no-dev --no-editable \
        $(grep --only-matching --extended-regexp -e '--no-install-package [a-z-]+' Dockerfile | sort --unique)
    uv run --isolated --only-group ship cyclonedx-py environment dist/shipped --pyproject pyproject.toml \
        --output-reproducible --output-file dist/gofleet.cdx.json
