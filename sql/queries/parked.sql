-- name: add
insert into parked (queue, event_id, body, headers, reason, attempts)
values (%(queue)s, %(event_id)s, %(body)s, %(headers)s::jsonb, %(reason)s, %(attempts)s);

-- name: count
select count(*) from parked where replayed_at is null;

-- name: prune
delete from parked where id in (
    select id from parked where replayed_at < now() - %(days)s::float8 * interval '1 day' limit %(limit)s
);
