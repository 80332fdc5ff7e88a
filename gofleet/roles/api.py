"""REST over HTTP. It requires PostgreSQL only; driver operations use the fleet role and fail with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import asynccontextmanager
from functools import partial

from loguru import logger

from gofleet import parts
from gofleet.adapters.history_feed import HistoryFeed
from gofleet.adapters.http.app import Api, api_app
from gofleet.adapters.http.driver_positions import DriverPositionFeed, positions_in_box
from gofleet.adapters.http.health import HealthApp
from gofleet.adapters.http.load_shedding import LoadShedder
from gofleet.adapters.http.middleware import RequestCounter
from gofleet.adapters.http.request_limits import LOOPBACK_HOSTS
from gofleet.adapters.http.routes.slo import FRESH_SECONDS
from gofleet.adapters.http.server import serving
from gofleet.adapters.http.sse import EventStreamLimits, EventStreams
from gofleet.adapters.postgres.drivers import PostgresDrivers
from gofleet.adapters.postgres.history import PostgresHistory
from gofleet.adapters.postgres.indicators import PostgresIndicators
from gofleet.adapters.postgres.notify import listen
from gofleet.adapters.postgres.outbox import PostgresFailedEvents
from gofleet.adapters.postgres.parked import PostgresParked
from gofleet.ports import Fleet, History, Indicators
from gofleet.process import Process, Work, repeat, restarting
from gofleet.roles.api_auth import authenticator
from gofleet.roles.retries import retry_on_outage
from gofleet.settings import Settings
from gofleet.telemetry.instrumentation import observed
from gofleet.usecases.create_order import CreateOrder
from gofleet.usecases.drivers import FindCandidates, UpdatePosition
from gofleet.usecases.transitions import CancelOrder, ChangeOrder, DeliverOrder, DispatchManually, RedispatchOrder


@asynccontextmanager
async def api(process: Process) -> AsyncGenerator[None]:
    web = process.settings.web
    await process.use(parts.operations)
    await process.use(parts.tracing)
    orders = await process.use(parts.orders)
    pool = await process.use(parts.postgres)
    drivers, fleet = PostgresDrivers(pool), await process.use(parts.fleet_client)
    fleet_config, depot = process.settings.fleet, parts.depot(process.settings)
    indicators, counter = PostgresIndicators(pool, FRESH_SECONDS), RequestCounter()
    history = PostgresHistory(pool)
    feed = history_feed_of(history, process.settings)
    app = api_app(
        Api(
            orders=orders,
            create_order=observed(CreateOrder(orders, process.settings.auth.open_orders)),
            change_order=observed(ChangeOrder(orders)),
            cancel_order=observed(CancelOrder(orders)),
            deliver_order=observed(DeliverOrder(orders)),
            dispatch_manually=observed(DispatchManually(orders, drivers)),
            redispatch_order=observed(RedispatchOrder(orders, process.settings.worker.exclusion_seconds)),
            find_candidates=observed(
                FindCandidates(orders, fleet, depot, fleet_config.radius_km, fleet_config.max_radius_km)
            ),
            history=history,
            streams=streams_of(feed, fleet, process),
            drivers=drivers,
            update_position=observed(UpdatePosition(fleet, process.settings.auth.driver_kmh)),
            parked=PostgresParked(pool),
            failed_events=PostgresFailedEvents(pool),
            fleet=fleet,
            indicators=indicators,
            operations=HealthApp(process.checks, process.roles, process.stopping.is_set, explain=False),
        ),
        body_bytes_max=web.max_body_bytes,
        body_seconds=web.body_timeout_seconds,
        load_shedder=LoadShedder(web.max_requests, web.least_requests, web.target_seconds),
        allowed_hosts=allowed_hosts(process.settings),
        public_url=web.public_url,
        counter=counter,
        authenticator=await authenticator(process),
    )
    server = serving(
        app,
        web.host,
        web.port,
        grace_seconds=process.settings.general.grace_seconds,
        keep_alive_seconds=web.keep_alive_seconds,
        connections_max=web.max_connections,
        unread_seconds=web.send_timeout_seconds,
        send_buffer_bytes=web.send_buffer_bytes,
    )
    async with (
        process.keeping(restarting("request counts", counting(counter, indicators, web.count_seconds))),
        process.keeping(restarting("history feed", feed.run)),
        server as open_port,
        parts.watched(process, open_port),
    ):
        logger.info("api on port {}", web.port)
        yield


def allowed_hosts(settings: Settings) -> Collection[str]:
    """Names under which the API answers; empty = any.

    Without authentication a page that a browser loads under another name, which its owner then resolves to this
    machine (DNS rebinding), could read and write everything.
    """
    return settings.web.hosts or (LOOPBACK_HOSTS if settings.auth.mode == "off" else frozenset())


def history_feed_of(history: History, settings: Settings) -> HistoryFeed:
    stream, conninfo = settings.stream, parts.conninfo(settings)

    async def listening(wake: Callable[[], None], stop: asyncio.Event) -> None:
        await listen(conninfo, lambda _: wake(), stop)

    return HistoryFeed(
        history, poll_seconds=stream.poll_seconds, window=stream.window, page=stream.page, listen=listening
    )


def streams_of(feed: HistoryFeed, fleet: Fleet, process: Process) -> EventStreams:
    """The event streams of clients; they end as soon as the process stops."""
    web, stream = process.settings.web, process.settings.stream
    positions = DriverPositionFeed(positions_in_box(fleet, stream.moves_drivers), stream.moves_seconds)
    limits = EventStreamLimits(
        web.max_streams, process.settings.auth.streams_each, stream.keep_alive_seconds, web.send_timeout_seconds
    )
    return EventStreams(feed, stopping=process.stopping, positions=positions, limits=limits)


def counting(counter: RequestCounter, indicators: Indicators, seconds: float) -> Work:
    """Flush the request counts every few seconds, and once more at the end."""
    flush = retry_on_outage(partial(counter.flush, indicators), "request counts")

    async def until(stop: asyncio.Event) -> None:
        await repeat(flush, seconds, stop)
        await flush()

    return until
