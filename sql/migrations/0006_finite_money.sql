-- NaN is a numeric that is more than 0 and equal to itself plus anything: orders_money lets it pass.
alter table orders add constraint orders_finite check (price <> 'NaN' and tax <> 'NaN' and final_price <> 'NaN');
