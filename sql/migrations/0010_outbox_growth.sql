-- What the relay claims stays cheap however much waits, and however much was published.

-- Of the two indexes of what is unpublished each must be good for one question only. Statistics are mostly gathered while
-- nothing waits; with none expected both seemed alike to the planner, and it looked for the earlier events of an order
-- by reading everything that waits, again for each event. So this one no longer has what failed, which blocks its order.
drop index outbox_unpublished;
create index outbox_unpublished on outbox (id) where published_at is null and failed_at is null;
create index outbox_failed on outbox (id) where published_at is null and failed_at is not null;

-- Every event is written twice, and the dead half of it lies on the relay's way: not a fifth of a table that keeps millions
-- of published events, which is PostgreSQL's own measure, but a few percent.
alter table outbox set (
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000, autovacuum_analyze_scale_factor = 0.05
);
