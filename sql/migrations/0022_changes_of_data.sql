-- Changes of an order's data: when the last one was made, and what the creation said of the fields that changes have
-- overwritten since, by which a repeated creation is recognized.
alter table orders add column changed_at timestamptz, add column created_as jsonb;

do $$
begin
    if to_regrole('gofleet_api') is not null then
        grant update (reference, items, metadata, changed_at, created_as) on orders to gofleet_api;
    end if;
end
$$;
