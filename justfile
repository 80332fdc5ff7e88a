set shell := ["bash", "-euo", "pipefail", "-c"]
export UV_PYTHON_DOWNLOADS := "never"
# Python keeps compiled modules even where the environment forbids it: tests start hundreds of processes.
export PYTHONDONTWRITEBYTECODE := ""
# One worker more than cores (tests/conftest.py), up to five; idle workers take over tests that wait at busy ones.
parallel := "-n auto --maxprocesses 5 --dist worksteal"
# The same profiles for every recipe, because they are part of a container's configuration.
profiles := env("COMPOSE_PROFILES", "observability")
compose := "COMPOSE_PROFILES=" + quote(profiles) + " " + env("COMPOSE", "docker compose")

# List the recipes
_default:
    @just --list --unsorted

# The whole system on this machine, without Docker
[group('try')]
demo *args:
    uv run gofleet demo {{args}}

# Everything in containers; ends when all are healthy. `COMPOSE_PROFILES= just up` omits the observability services
[group('try')]
up *args:
    {{compose}} up --build --detach --wait --wait-timeout 600 {{args}}
    @docker ps --filter label=com.docker.compose.project=gofleet --filter label=gofleet.page \
        --format '{{{{.Label "gofleet.url"}}\t{{{{.Label "gofleet.page"}}' | sort -u | column -t -s $'\t'

# Stop the containers; --volumes deletes their data
[group('try')]
down *args:
    {{compose}} --profile '*' down {{args}}

# Follow the logs of containers: just logs worker fleet
[group('try')]
logs *services:
    {{compose}} logs --follow --tail 100 {{services}}

# Change the number of containers of a role: just scale worker=3
[group('try')]
scale +counts:
    {{compose}} up --detach --wait --no-build --no-deps --no-recreate \
        {{prepend("--scale ", counts)}} {{replace_regex(counts, "=[0-9]+", "")}}

# Run roles against your own servers: just run api,relay
[group('try')]
run roles="all":
    uv run gofleet run --role {{roles}}

# Lint and all tests
[group('check')]
check: lint test-all

# All tests except the system tests, on real PostgreSQL, Valkey and RabbitMQ
[group('check')]
test *args: servers
    uv sync --quiet --inexact
    uv run --no-sync pytest -m "not system" {{parallel}} --durations 50 {{args}}

# Whole installations, faults and large tools; tests that measure time or stop servers run one after the other
[group('check')]
test-system *args: servers
    uv sync --quiet --inexact --group chart --group load --group bench --group oidc
    @# both parts run, and it fails in the end if either failed; 5: the arguments select no test of a part
    first=0; second=0; \
    uv run --no-sync pytest -m "system and not alone" {{parallel}} --durations 50 {{args}} || first=$?; \
    uv run --no-sync pytest -m "system and alone" --durations 50 {{args}} || second=$?; \
    [[ $first =~ ^[05]$ && $second =~ ^[05]$ ]]

# All tests
[group('check')]
test-all *args: (test args) (test-system args)

# Domain, use cases and guards in memory, in seconds
[group('check')]
quick *args:
    @# without Hypothesis's plugin, which imports all of it at the end of a run
    uv run pytest -p no:hypothesispytest tests/domain tests/usecases tests/guards {{args}}

# The contract of every port, on the memory adapter and on the real servers
[group('check')]
contract *args: servers
    uv run pytest tests/ports {{args}}

# Four processes on real servers
[group('check')]
journeys *args: servers
    uv run pytest tests/journeys {{args}}

# Faults on real servers: just chaos, just chaos F5 F9 --seed 7, just chaos all, just chaos nemesis --minutes 10
[group('check')]
chaos *args:
    @bash tests/install_servers.sh faketime
    uv run python -m tests.chaos {{args}}

# Thousands of valid and invalid requests against a real installation: just schemathesis --examples 300 --seed 7
[group('check')]
schemathesis *args:
    uv run python -m tests.fuzz {{args}}

# The protocol under every interleaving of a small world; `--budget large` takes minutes, `--traces` shows failures
[group('check')]
model *args:
    uv run python -m tests.model {{args}}

# k6 on a private installation, in the second with the fleet killed meanwhile: just load ramp --rate 50, just load breaker
[group('check')]
load *args: servers
    uv run --group load python -m tests.load {{args}}

# Benchmark, all cases or some: just bench, just bench ingest latency --repetitions 5 --out DIR
[group('check')]
bench *args: servers
    uv run --group bench python -m tests.bench {{args}}

# Style, types and import rules
[group('check')]
lint:
    uv run ruff check
    uv run ruff format --check
    @# includes the benchmark's dependencies
    uv run --group bench basedpyright
    uv run lint-imports

# Apply automatic fixes
[group('develop')]
fix:
    uv run ruff check --fix
    uv run ruff format

# Generate proto/*.json and the code of fleet.proto; refuses incompatible changes without --breaking
[group('develop')]
contracts *args:
    uv run python -m tests.api_contracts {{args}}

alias proto := contracts

# Generate the schema of the Helm chart's values from the settings
[group('develop')]
chart:
    uv run python -m tests.chart

# Generate the RabbitMQ definitions and the Redis ACL from the code
[group('develop')]
rights:
    uv run python -m tests.rights

# Generate alerts, their tests and dashboards from config/prometheus/slo.yaml
[group('develop')]
rules:
    uv run python -m tests.observability

# Write the settings table of config/README.md
[group('develop')]
pages:
    uv run python -m tests.docs

# A certificate authority and certificates for development: just certs, just certs FOLDER
[group('develop')]
certs *args:
    uv run gofleet certs {{args}}

# Migrate a database to the current schema
[group('develop')]
migrate *args:
    uv run gofleet migrate {{args}}

# Install RabbitMQ, Redis, PostgreSQL and Prometheus from Debian's packages if missing; the tests start their own
[group('develop')]
servers:
    @bash tests/install_servers.sh

# Build the image of all roles with Docker, or with Buildah if Docker is unavailable
[group('ship')]
image *args:
    @bash tests/image/build.sh {{args}}

# Check the image: size, permissions, all roles as containers on servers of this machine, the first request
[group('ship')]
image-check *args:
    uv run python -m tests.image {{args}}

# Known vulnerabilities in the locked, shipped packages
[group('ship')]
audit:
    mkdir -p dist
    uv export --quiet --frozen --no-dev --no-emit-project --output-file dist/shipped.txt
    uv run --isolated --only-group ship pip-audit --strict --require-hashes --disable-pip --requirement dist/shipped.txt

# SBOM of the image in dist/ (CycloneDX): components, licences, dependencies
[group('ship')]
sbom:
    UV_PROJECT_ENVIRONMENT=dist/shipped uv sync --quiet --frozen --no-dev --no-editable \
        $(grep --only-matching --extended-regexp -e '--no-install-package [a-z-]+' Dockerfile | sort --unique)
    uv run --isolated --only-group ship cyclonedx-py environment dist/shipped --pyproject pyproject.toml \
        --output-reproducible --output-file dist/gofleet.cdx.json
