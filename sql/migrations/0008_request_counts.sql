-- How many requests each API process answered, for GET /slo: a row every few seconds, forgotten after an hour.

create table request_counts (
    process       text not null,
    number        bigint not null,           -- 1, 2, ... of each process: what is said twice counts once
    at            timestamptz not null default now(),
    answered      bigint not null,
    failed        bigint not null,
    ingests       bigint not null,
    fast_ingests  bigint not null,
    primary key (process, number)
);
