-- Who moved an order, why, and in which trace; and a history that readers follow without missing anything.

-- The last move's, for the trigger to copy: only who writes the order knows them.
alter table orders
    add column moved_by     text not null default 'client',
    add column moved_trace  text,
    add constraint orders_moved_by check (moved_by <> ''),
    add constraint orders_moved_trace check (moved_trace ~ '^[0-9a-f]{32}$');

-- Nobody wrote down who made the moves until now.
alter table order_log
    add column actor     text not null default 'unknown',
    add column reason    text,
    add column trace_id  text;

-- In which order the history is read on: an id is given before the commit, so a reader who asks for `id > last` misses
-- what was given a lower one and commits later. A reader sees only rows whose txid is below
-- pg_snapshot_xmin(pg_current_snapshot()): everything below it has ended, and nothing new can appear there. Ordered by
-- (txid, id) what was read once never changes, and that pair is where a reader goes on. Of one order that is also the
-- order of its moves, for each is a statement of its own: who makes the next one began it when the last was committed.
--
-- What that costs: any transaction that has written and does not end, in whatever database of this cluster, a forgotten
-- prepared one too, holds the live stream back for as long as it lasts, though it loses nothing. Ours are single
-- statements, but for the relays', which publish within theirs: a slow broker delays the stream by as much as
-- PUBLISH_TIMEOUT_SECONDS. What is forgotten is ended by idle_in_transaction_session_timeout; a bulk load by hand delays.
--
-- A txid means something in the cluster that gave it. After a logical restore (pg_dump) into another cluster, whose
-- counter is lower, old rows would stay hidden and new ones would sort before them. Before the api is started there:
--     begin;
--     alter table order_log disable trigger append_only;
--     update order_log set txid = '3';    -- older than any; among themselves the ids then are the order
--     alter table order_log enable trigger append_only;
--     commit;
-- Readers who come with a place of the old cluster that is ahead of the new one are refused. Physical copies (standbys,
-- pg_basebackup, pg_upgrade) keep the counter and need nothing.
--
-- The primary key takes that order instead of one more index on the way of every move; the ids alone stay unique, for
-- they are always generated. Writers wait while it is built.
alter table order_log drop constraint order_log_pkey, add primary key (txid, id);

create or replace function log_order_move() returns trigger language plpgsql as $$
declare
    -- Whoever cancels an order that waited for people leaves the reason of that standing; it is none of the cancelling.
    why text := case when new.status = 'MANUAL_DISPATCH' then new.reason end;
begin
    if tg_op = 'INSERT' then
        insert into order_log (order_id, became, driver_id, version, actor, reason, trace_id)
        values (new.id, new.status, new.driver_id, new.version, new.moved_by, why, new.moved_trace);
    elsif new.status is distinct from old.status or new.driver_id is distinct from old.driver_id then
        insert into order_log (order_id, was, became, driver_id, version, actor, reason, trace_id)
        values (new.id, old.status, new.status, new.driver_id, new.version, new.moved_by, why, new.moved_trace);
    end if;
    return new;
end
$$;
