-- Announcing again what still waits, and forgetting what is long over.

-- How often the sweeper has announced the order since it began to wait; each time waits twice as long as the one before.
alter table orders add column dispatch_epoch integer not null default 0;

-- A command repeats what an event has said: it has the version of the order as it stands, and is no move of its own.
alter table outbox add column kind text not null default 'event';
alter table outbox add constraint outbox_kind check (kind in ('event', 'command'));
alter table outbox drop constraint outbox_one_event_per_version;
create unique index outbox_one_event_per_version on outbox (aggregate_id, seq) where kind = 'event';

-- Pruning by age. Rows arrive in the order of their time, so a few numbers a page are enough.
create index inbox_by_time on inbox using brin (at) with (autosummarize = on);
