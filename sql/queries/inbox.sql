-- name: note
insert into inbox (consumer, event_id, outcome) values (%(consumer)s, %(event_id)s, %(outcome)s)
on conflict (consumer, event_id) do nothing;

-- name: outcome
select outcome from inbox where consumer = %(consumer)s and event_id = %(event_id)s;

-- name: prune
delete from inbox where ctid = any(array(
    select ctid from inbox where at < now() - %(days)s::float8 * interval '1 day' limit %(limit)s
));
