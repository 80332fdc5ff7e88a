"""The services of compose.yaml, as Docker Compose parses them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest

from gofleet.roles import ORDER
from gofleet.settings.checks import KNOWN_PASSWORDS
from gofleet.settings.load import catalogue, load
from tests.composed import AUTH, FILE, OBSERVABILITY, ROOT, Service, compose, composed

KNOWN = {entry.name for entry in catalogue()}
DEFAULTS = load({}, dotenv=None)
CORE = composed().services
ALL = composed(f"{OBSERVABILITY},{AUTH}")
SERVICES = ALL.services
WATCHING = {name: service for name, service in SERVICES.items() if OBSERVABILITY in service.profiles}
GUARDING = {name: service for name, service in SERVICES.items() if AUTH in service.profiles}
ROLES = {name: service for name, service in SERVICES.items() if service.role in ORDER}
OURS = {**ROLES, "migrate": SERVICES["migrate"]}
SOCKET = "/var/run/docker.sock"
our_services = pytest.mark.parametrize("name", OURS)
every_service = pytest.mark.parametrize("name", SERVICES)
watching_services = pytest.mark.parametrize("name", WATCHING)


def values(service: Service) -> dict[str, str]:
    """The service's environment with default values; a variable without a value is omitted."""
    return {name: value for name, value in service.environment.items() if value is not None}


def test_every_role_has_one_service_and_its_name() -> None:
    assert {name: service.role for name, service in ROLES.items()} == {role: role for role in ORDER}


def test_the_profiles_add_observability_and_authentication() -> None:
    assert set(CORE) == {*OURS, "gateway", "postgres", "rabbitmq", "redis"}
    assert set(WATCHING) == {"prometheus", "alertmanager", "grafana", "loki", "alloy", "jaeger"}
    assert set(GUARDING) == {"keycloak"}
    assert {*CORE, *WATCHING, *GUARDING} == set(SERVICES)


def test_one_image_serves_all_and_is_built_once() -> None:
    assert len({service.image for service in OURS.values()}) == 1
    assert [name for name, service in SERVICES.items() if service.build] == ["migrate"]


def test_any_role_can_be_scaled() -> None:
    assert not [name for name, service in SERVICES.items() if service.container_name]
    assert not [name for name, service in ROLES.items() if service.ports]


@every_service
def test_no_image_changes_by_itself(name: str) -> None:
    image = SERVICES[name].image

    assert name in OURS or image.rpartition(":")[2].removeprefix("v")[:1].isdigit()
    assert name in OURS or image.rpartition(":")[2].count(".") >= 1


def test_ports_are_published_on_this_machine_only() -> None:
    published = {name: [f"{port.host_ip}:{port.published}" for port in one.ports] for name, one in SERVICES.items()}

    assert {name: ports for name, ports in published.items() if ports} == {
        "gateway": ["127.0.0.1:8000"],
        "rabbitmq": ["127.0.0.1:15672"],
        "prometheus": ["127.0.0.1:9090"],
        "alertmanager": ["127.0.0.1:9093"],
        "grafana": ["127.0.0.1:3000"],
        "jaeger": ["127.0.0.1:16686"],
        "keycloak": ["127.0.0.1:8088"],
    }
    assert DEFAULTS.web.port == 8000


@every_service
def test_the_labels_list_exactly_the_published_pages(name: str) -> None:
    service = SERVICES[name]
    url = urlsplit(service.labels.get("gofleet.url", ""))

    assert bool(service.labels.get("gofleet.page")) == bool(service.ports)
    assert [f"{url.hostname}:{url.port}"] * bool(url.port) == [f"{p.host_ip}:{p.published}" for p in service.ports]


@our_services
def test_a_services_environment_is_settings_that_load(name: str) -> None:
    assert set(OURS[name].environment) <= KNOWN
    load(values(OURS[name]), dotenv=None)


@our_services
def test_addresses_of_other_services_exist(name: str) -> None:
    hosts = {value for setting, value in values(OURS[name]).items() if setting.endswith("_HOST")}

    assert hosts <= set(CORE)


@pytest.mark.parametrize("name", ORDER)
def test_spans_are_sent_to_jaeger_with_its_profile(name: str) -> None:
    variable = "OTEL_EXPORTER_OTLP_ENDPOINT"
    elsewhere = composed(OBSERVABILITY, **{variable: "http://collector:4317"}).services[name]

    assert values(CORE[name])[variable] == ""
    assert urlsplit(values(SERVICES[name])[variable]).hostname in WATCHING
    assert values(elsewhere)[variable] == "http://collector:4317"


def test_servers_and_roles_have_the_same_credentials() -> None:
    changed = {name: name.lower() for name in ("DB_USER", "DB_PASSWORD", "DB_NAME")}
    services = composed(**changed).services
    ours = {
        name: value
        for role in (*ORDER, "migrate")  # whose login is the owner's
        for name, value in services[role].environment.items()
        if name in changed
    }
    postgres = services["postgres"].environment

    assert ours == changed
    assert (postgres["POSTGRES_USER"], postgres["POSTGRES_PASSWORD"]) == ("db_user", "db_password")
    assert postgres["POSTGRES_DB"] == "db_name"


@pytest.mark.parametrize("name", ORDER)
def test_a_role_logs_in_to_postgresql_as_itself(name: str) -> None:
    variable = f"DB_{name.upper()}_PASSWORD"
    services = composed(**{variable: "it's quoted", "DB_USER": "owner", "DB_PASSWORD": "owners"}).services
    role, postgres = values(services[name]), values(services["postgres"])

    assert (role["DB_USER"], role["DB_PASSWORD"]) == (name, "it's quoted")
    assert postgres[variable] == "it's quoted"
    assert values(CORE[name])["DB_PASSWORD"] == values(CORE["postgres"])[variable]
    assert values(CORE[name])["DB_PASSWORD"] in KNOWN_PASSWORDS


def test_the_logins_are_created_with_the_database() -> None:
    [mount] = [one for one in CORE["postgres"].volumes if one.target == "/docker-entrypoint-initdb.d"]
    script = Path(mount.source) / "logins.sql"

    assert mount.read_only
    assert set(re.findall(r"^\\getenv (\w+) DB_\1_PASSWORD$", script.read_text(), re.M | re.I)) == set(ORDER)
    assert script.name in FILE.read_text()


@pytest.mark.parametrize("name", ORDER)
def test_a_role_has_time_to_drain(name: str) -> None:
    assert int(ROLES[name].stop_grace_period.removesuffix("s")) > DEFAULTS.general.grace_seconds


@pytest.mark.parametrize("name", ORDER)
def test_a_role_starts_after_the_migration(name: str) -> None:
    assert ROLES[name].depends_on["migrate"].condition == "service_completed_successfully"


@every_service
def test_every_dependency_has_a_condition_beyond_the_start(name: str) -> None:
    assert "service_started" not in {needed.condition for needed in SERVICES[name].depends_on.values()}


@every_service
def test_every_service_has_a_health_check(name: str) -> None:
    check = SERVICES[name].healthcheck

    if name in ROLES:
        assert check is None  # the image brings one: tests/test_deployment.py
    else:
        assert check is not None
        assert check.disable == (name == "migrate")
        assert name == "migrate" or check.test[0] in {"CMD", "CMD-SHELL"}


@every_service
def test_every_service_has_a_memory_limit(name: str) -> None:
    assert 0 < int(SERVICES[name].mem_limit) <= 1 << 30


@our_services
def test_our_containers_have_minimal_privileges(name: str) -> None:
    service = OURS[name]

    assert service.read_only
    assert service.tmpfs == ["/tmp"]  # noqa: S108  the container's own
    assert service.cap_drop == ["ALL"]
    assert service.security_opt == ["no-new-privileges:true"]
    assert not service.volumes


@watching_services
def test_mounted_files_exist(name: str) -> None:
    files = [Path(mount.source) for mount in WATCHING[name].volumes if mount.type == "bind" and mount.source != SOCKET]

    assert not [file for file in files if not file.exists()]


@watching_services
def test_observability_services_write_only_their_own_volume(name: str) -> None:
    service = WATCHING[name]
    writable = [mount for mount in service.volumes if not mount.read_only]

    assert service.read_only
    assert service.cap_drop == ["ALL"]
    assert service.security_opt == ["no-new-privileges:true"]
    assert [(mount.type, mount.source) for mount in writable] in ([], [("volume", name)])


def test_only_alloy_reads_the_engines_socket() -> None:
    seeing = [name for name, one in SERVICES.items() if SOCKET in {mount.source for mount in one.volumes}]

    assert seeing == ["alloy"]


def test_the_gateway_forwards_to_the_api_and_checks_its_health() -> None:
    config = (ROOT / "config/haproxy/haproxy.cfg").read_text()
    [(server, checked)] = re.findall(r"server-template \S+ \S+ (\S+) check port (\d+) ", config)
    check = SERVICES["gateway"].healthcheck

    assert server == f"{ROLES['api'].role}:{DEFAULTS.web.port}"
    assert int(checked) == DEFAULTS.telemetry.metrics_port
    assert f"bind :{SERVICES['gateway'].ports[0].target}\n" in config
    assert check is not None
    address, path = urlsplit(check.test[-1]).netloc, urlsplit(check.test[-1]).path
    assert f"bind {address}\n    monitor-uri {path}\n" in config


def test_every_volume_has_a_user() -> None:
    used = {mount.source for one in SERVICES.values() for mount in one.volumes if mount.type == "volume"}

    assert used == set(ALL.volumes)


def test_alloy_reads_the_containers_of_this_file() -> None:
    config = (ROOT / "config/alloy/config.alloy").read_text()
    [selector] = re.findall(r'service=~\\"(.*?)\\"', config)

    assert f'"com.docker.compose.project={ALL.name}"' in config
    assert set(selector.split("|")) == set(OURS)


def test_configured_targets_listen_on_their_ports() -> None:
    jaeger = msgspec.yaml.decode((ROOT / "config/jaeger/jaeger.yml").read_bytes())
    endpoint = urlsplit(values(SERVICES["api"])["OTEL_EXPORTER_OTLP_ENDPOINT"])
    loki = msgspec.yaml.decode((ROOT / "config/loki/loki.yml").read_bytes())
    listening = jaeger["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]

    assert listening == f"0.0.0.0:{endpoint.port}"
    assert jaeger["extensions"]["jaeger_query"]["http"]["endpoint"].endswith(f":{SERVICES['jaeger'].ports[0].target}")
    assert f"http://loki:{loki['server']['http_listen_port']}/" in (ROOT / "config/alloy/config.alloy").read_text()


BROKEN = {
    "an unknown key": ("read_only: true", "readonly: true"),
    "a service that is not there": ("redis: {condition: service_healthy}", "reddis: {condition: service_healthy}"),
    "a condition that is not there": ("condition: service_healthy", "condition: service_happy"),
    "a volume that is not there": ('"redis:/data"', '"redus:/data"'),
    "a port that is none": ('"127.0.0.1:9090:9090"', '"127.0.0.1:9090:http"'),
    "a size that is none": ("mem_limit: 512m", "mem_limit: much"),
    "a variable that does not end": ("${DB_USER:-root}", "${DB_USER:-root"),
    "an anchor that is not there": ("<<: *watching", "<<: *watcher"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_compose_refuses(fault: str, tmp_path: Path) -> None:
    right, wrong = BROKEN[fault]
    text = FILE.read_text()
    assert right in text
    (tmp_path / "compose.yaml").write_text(text.replace(right, wrong))

    assert compose("config", "--quiet", file=tmp_path / "compose.yaml", profiles=OBSERVABILITY).returncode != 0


@pytest.mark.parametrize("profiles", ["", OBSERVABILITY, AUTH])
def test_compose_accepts_the_unchanged_file(profiles: str, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(FILE.read_text())
    result = compose("config", "--quiet", file=tmp_path / "compose.yaml", profiles=profiles)

    assert (result.returncode, result.stderr) == (0, "")


def recipe(*words: str) -> str:
    """The commands of a recipe of the justfile."""
    done = subprocess.run(["just", "--dry-run", *words], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stderr


def test_up_waits_until_all_services_are_healthy() -> None:
    assert "--wait " in recipe("up")
    assert f"COMPOSE_PROFILES={OBSERVABILITY}" in recipe("up").replace("'", "")


def test_scale_changes_only_the_number_of_containers() -> None:
    commands = " ".join(recipe("scale", "worker=3", "fleet=2").replace("'", "").split())

    assert commands.endswith("--no-deps --no-recreate --scale worker=3 --scale fleet=2 worker fleet")
    assert f"COMPOSE_PROFILES={OBSERVABILITY}" in commands


def test_variables_for_compose_in_dotenv_do_not_prevent_a_start(tmp_path: Path) -> None:
    variables = set(re.findall(r"\$\{(\w+)", FILE.read_text(encoding="utf-8"))) - KNOWN
    written = tmp_path / ".env"
    written.write_text("".join(f"{name}=something\n" for name in sorted({*variables, "COMPOSE_PROFILES"})))

    assert {"GRAFANA_PASSWORD", "DB_API_PASSWORD"} <= variables
    assert load({}, written).postgres == DEFAULTS.postgres
