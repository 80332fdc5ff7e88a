-- Up to when orders were judged: whether each had its driver in time. One row, whose lock says which relay's turn it is,
-- so that each order is judged once, whoever lives on. What was created before this release is not judged.
create table deadlines (
    only_one  boolean primary key default true check (only_one),
    until     timestamptz not null
);
insert into deadlines (until) values (now());
