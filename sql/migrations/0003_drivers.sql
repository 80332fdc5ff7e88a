-- The drivers' records. Where they are is Redis's business; what they hold is told by orders.

create table drivers (
    id          text primary key,
    name        text not null,
    on_duty     boolean not null default true,
    version     integer not null default 1,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    constraint drivers_name check (name <> '')
);
