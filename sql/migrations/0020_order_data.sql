-- What clients tell about an order, and no dispatch depends on. Null = nothing told; the release before writes none.
alter table orders add column reference text, add column items jsonb, add column metadata jsonb;

do $$
begin
    if to_regrole('gofleet_api') is not null then
        grant insert (reference, items, metadata) on orders to gofleet_api;
    end if;
end
$$;
