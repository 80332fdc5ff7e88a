-- Events on their way out, events that came in, and messages that were given up.

create table outbox (
    id               bigint generated always as identity primary key,
    event_id         uuid not null unique,
    aggregate_type   text not null default 'order',
    aggregate_id     text not null references orders (id),
    seq              integer not null,
    event_type       text not null,
    payload          jsonb not null,
    traceparent      text,
    created_at       timestamptz not null default now(),
    published_at     timestamptz,
    attempts         integer not null default 0,
    next_attempt_at  timestamptz not null default now(),
    failed_at        timestamptz,
    error            text,
    -- Exactly one event for each version of an order.
    constraint outbox_one_event_per_version unique (aggregate_id, seq)
);
-- The relay's claim: unpublished rows in order, and the head of each aggregate. Empty when all is published.
create index outbox_unpublished on outbox (id) where published_at is null;
create index outbox_unpublished_by_aggregate on outbox (aggregate_id, seq) where published_at is null;

create table inbox (
    consumer  text not null,
    event_id  uuid not null,
    outcome   text not null,
    at        timestamptz not null default now(),
    primary key (consumer, event_id)
);

create table parked (
    id            bigint generated always as identity primary key,
    queue         text not null,
    event_id      text,
    body          bytea not null,
    headers       jsonb not null,
    reason        text not null,
    attempts      integer not null,
    parked_at     timestamptz not null default now(),
    replayed_at   timestamptz,
    replay_count  integer not null default 0
);
create index parked_waiting on parked (parked_at) where replayed_at is null;
