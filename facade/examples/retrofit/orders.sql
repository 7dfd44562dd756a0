-- SPDX-License-Identifier: Apache-2.0
--
-- The data of the report: :customers customers with up to nine orders each, the same ones every time. A function reads
-- them and is as slow as a query on large tables.
begin;
create table customer (id int primary key, name text not null);
create table customer_order (customer int references customer, cents int not null);
insert into customer select id, 'customer-' || id from generate_series(1, :customers) id;
insert into customer_order
  select id, (id * 7919 + n * 104729) % 100000
  from generate_series(1, :customers) id, generate_series(1, 1 + id % 9) n;
create function summary_of(wanted int) returns table (name text, orders bigint, total numeric) language sql as $$
  select customer.name, count(*), (sum(cents) / 100.0)::numeric(12, 2)
  from pg_sleep(0.1), customer join customer_order on customer = id
  where id = wanted group by customer.name
$$;
commit;
