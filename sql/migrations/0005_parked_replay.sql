-- Parked messages can be grouped by what went wrong, looked at, and put back into the queues they came from.

alter table parked
    add column cause                text not null default 'failed',   -- a slug; `reason` is what the error said
    add column fingerprint          text not null default 'unknown',  -- the same for failures of the same sort
    add column replay_requested_at  timestamptz,
    add column error                text;                             -- why the broker refused a replay

-- What a crash loop had brought was kept under the name of the broker's parking queue, where nobody would handle it.
update parked set cause = 'crash-loop', queue = regexp_replace(queue, '\.parking$', '') where queue like '%.parking';
update parked set fingerprint = left(encode(sha256(convert_to(queue || E'\n' || cause || E'\n' || reason, 'UTF8')), 'hex'), 12);

-- The relay's claim; empty when nobody wants anything replayed.
create index parked_requested on parked (replay_requested_at, id) where replay_requested_at is not null and replayed_at is null;
create index parked_by_fingerprint on parked (fingerprint, id);
