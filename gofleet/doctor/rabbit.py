"""RabbitMQ, if it is the broker: there, ours, recent enough, with the exchange and the queues as we declare them."""

from __future__ import annotations

from gofleet import parts
from gofleet.adapters.rabbit.diagnostics import RabbitState, rabbit_state
from gofleet.adapters.rabbit.topology import summarize_names
from gofleet.doctor.findings import FLEET, RELAY, WORKER, Case, CheckResults
from gofleet.doctor.probes import at_least, knock
from gofleet.domain.errors import LoginRefused, Unavailable

OLDEST = (3, 10)


async def of_rabbit(case: Case, found: CheckResults) -> None:
    if case.settings.general.broker != "rabbitmq" or not case.plays(RELAY, WORKER, FLEET):
        return
    at = case.settings.broker
    where = f"{at.host}:{at.port}"
    if why := await knock(at.host, at.port):
        fix = "start RabbitMQ, or set RABBITMQ_HOST and AMQP_PORT to where it is"
        found.failed("reachable", f"{where}: {why}", fix)
        return
    try:
        state = await rabbit_state(parts.rabbit_server(case.settings), parts.topology(case.settings))
    except LoginRefused as error:
        found.failed("login", f"{where}: {error.why}", "check RABBITMQ_USER, RABBITMQ_PASSWORD and RABBITMQ_VHOST")
        return
    except Unavailable as error:
        found.failed("reachable", f"{where}: {error.why}", "look at its log: it listens and does not answer")
        return
    found.ok("reachable", f"{where}, virtual host {at.vhost} as {at.user}")
    if at_least(state.version, OLDEST):
        found.ok("version", state.version)
    else:
        found.failed("version", state.version or "unknown", f"upgrade it to {OLDEST[0]}.{OLDEST[1]} or newer")
    if case.settings.broker.declare == "on":
        _declared(state, found)
    else:
        _imported(state, found)


def _imported(state: RabbitState, found: CheckResults) -> None:
    if state.missing:
        fix = "import what `gofleet topology` prints, or set RABBITMQ_DECLARE=on for a user who may declare"
        found.failed("topology", f"{summarize_names(state.missing)} not there", fix)
    else:
        found.ok("topology", f"the exchange and {state.expected - 1} queues are there, made by somebody else")


def _declared(state: RabbitState, found: CheckResults) -> None:
    if state.refused:
        fix = "let our user configure, write and read all of it; or import `gofleet topology`, and RABBITMQ_DECLARE=off"
        found.failed("topology", f"we may not declare {summarize_names(list(state.refused))}", fix)
    for name, why in state.other.items():
        fix = "drain and delete it, so that a role declares it anew; or use another NAME_PREFIX"
        found.failed("topology", f"{name}: {why}", fix)
    if len(state.missing) == state.expected:
        found.warning("topology", "nothing is declared yet", "the roles do that when they start")
    elif state.missing:
        fix = "start a relay or a worker again: it declares what is missing"
        found.failed("topology", f"{summarize_names(state.missing)} not there", fix)
    elif not state.other and not state.refused:
        found.ok("topology", f"the exchange and {state.expected - 1} queues are as declared")
