set shell := ["bash", "-euo", "pipefail", "-c"]
export UV_PYTHON_DOWNLOADS := "never"
# Python keeps compiled modules even where the environment forbids it: tests start hundreds of processes.
export PYTHONDONTWRITEBYTECODE := ""
# As many workers as cores, up to four; idle workers take over tests that wait at busy ones.
parallel := "-n auto --maxprocesses 4 --dist worksteal"
# The same profiles for every recipe: they are part of what a container is made from.
profiles := env("COMPOSE_PROFILES", "observability")
compose := "COMPOSE_PROFILES=" + quote(profiles) + " " + env("COMPOSE", "docker compose")

# List the recipes
_default:
    @just --list --unsorted

# The whole system on this machine, without Docker
[group('try')]
demo *args:
    uv run gofleet demo {{args}}

# All of it in containers, watched; ends when everything is healthy. `COMPOSE_PROFILES= just up` leaves out what watches
[group('try')]
up *args:
    {{compose}} up --build --detach --wait --wait-timeout 600 {{args}}
    @docker ps --filter label=com.docker.compose.project=gofleet --filter label=gofleet.page \
        --format '{{{{.Label "gofleet.url"}}\t{{{{.Label "gofleet.page"}}' | sort -u | column -t -s $'\t'

# Stop the containers; add --volumes to forget the data
[group('try')]
down *args:
    {{compose}} --profile '*' down {{args}}

# Follow what the containers say: just logs worker fleet
[group('try')]
logs *services:
    {{compose}} logs --follow --tail 100 {{services}}

# More or fewer containers of a role: just scale worker=3
[group('try')]
scale +counts:
    {{compose}} up --detach --wait --no-build --no-deps --no-recreate \
        {{prepend("--scale ", counts)}} {{replace_regex(counts, "=[0-9]+", "")}}

# Play roles against your own servers: just run api,relay
[group('try')]
run roles="all":
    uv run gofleet run --role {{roles}}

# Everything CI checks
[group('check')]
check: lint test-all

# All tests except the system tests, on real PostgreSQL, Valkey and RabbitMQ
[group('check')]
test *args: servers
    uv sync --quiet --inexact
    uv run --no-sync pytest -m "not system" {{parallel}} --durations 50 {{args}}

# Whole installations, disasters and large tools; those that measure time or end servers run one after the other
[group('check')]
test-system *args: servers
    uv sync --quiet --inexact --group chart --group load --group bench --group oidc
    @# 5: the arguments select no test of this part
    uv run --no-sync pytest -m "system and not alone" {{parallel}} --durations 50 {{args}} || [ $? -eq 5 ]
    uv run --no-sync pytest -m "system and alone" --durations 50 {{args}} || [ $? -eq 5 ]

# All tests
[group('check')]
test-all *args: (test args) (test-system args)

# Domain, use cases and guards in memory: starts in a second or two
[group('check')]
quick *args:
    @# without Hypothesis's plugin, which imports all of it at the end of a run
    uv run pytest -p no:hypothesispytest tests/domain tests/usecases tests/guards {{args}}

# The promises of every port, on memory and on the real servers
[group('check')]
contract *args: servers
    uv run pytest tests/ports {{args}}

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
    uv run python -m tests.fuzz {{args}}

# The protocol under every interleaving of a small world; `--budget large` takes minutes, `--traces` shows what fails
[group('check')]
model *args:
    uv run python -m tests.model {{args}}

# k6 on an installation of its own, fleet killed meanwhile in the second: just load ramp --rate 50, just load breaker
[group('check')]
load *args: servers
    uv run --group load python -m tests.load {{args}}

# What it costs on this machine, all of it or some: just bench, just bench ingest latency --repetitions 5 --out DIR
[group('check')]
bench *args: servers
    uv run --group bench python -m tests.bench {{args}}

# Style, types, and who may import whom
[group('check')]
lint:
    uv run ruff check
    uv run ruff format --check
    @# the bench's parts are read, too
    uv run --group bench basedpyright
    uv run lint-imports

# Repair what can be repaired automatically
[group('develop')]
fix:
    uv run ruff check --fix
    uv run ruff format

# Write down what REST, events and gRPC promise: proto/*.json and the code of fleet.proto; refuses what breaks anybody
[group('develop')]
contracts *args:
    uv run python -m tests.api_contracts {{args}}

alias proto := contracts

# Write the settings into the schema of the Helm chart's values
[group('develop')]
chart:
    uv run python -m tests.chart

# Write down who may do what at RabbitMQ and Redis, as the code needs it
[group('develop')]
rights:
    uv run python -m tests.rights

# Write down what follows from config/prometheus/slo.yaml: alerts, their tests, dashboards
[group('develop')]
rules:
    uv run python -m tests.observability

# An authority and certificates for development: just certs, just certs FOLDER
[group('develop')]
certs *args:
    uv run gofleet certs {{args}}

# Bring a database's schema up to date
[group('develop')]
migrate *args:
    uv run gofleet migrate {{args}}

# RabbitMQ, Redis, PostgreSQL and Prometheus from Debian's packages, if they are missing; the tests start their own
[group('develop')]
servers:
    @bash tests/install_servers.sh

# The image that plays every role, by Docker, or by Buildah where no Docker answers
[group('ship')]
image *args:
    @bash tests/image/build.sh {{args}}

# Check that image: size, what it may do, all roles as containers on servers of this machine, the first curl
[group('ship')]
image-check *args:
    uv run python -m tests.image {{args}}

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
