-- The totals that follow from the rows
insert into counters (name, value)
select 'users', count(*)
from users
union all
select 'links', count(*)
from links
where deleted_at is null
union all
select 'events', count(*)
from events
where true
on conflict (name) do update
set value = excluded.value
