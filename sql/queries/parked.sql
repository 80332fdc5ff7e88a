-- name: add
insert into parked (queue, event_id, body, headers, reason, attempts)
values (%(queue)s, %(event_id)s, %(body)s, %(headers)s::jsonb, %(reason)s, %(attempts)s);

-- name: count
select count(*) from parked where replayed_at is null;
