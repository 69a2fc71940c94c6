-- ?1 more rows than are counted: a table that has as many keeps the total it has
insert into counters (name, value)
select name, rows
from (
  select 'users' as name, (select count(*) from (select 1 from users limit ?1)) as rows
  union all
  select 'links', (select count(*) from (select 1 from links where deleted_at is null limit ?1))
  union all
  select 'events', (select count(*) from (select 1 from events limit ?1))
  union all
  select name, 0
  from (
    select 'pings' as name
    union all
    select 'clicks_purged'
    union all
    select 'clicks_undecodable'
    union all
    select 'clicks_external'
    union all
    select 'clicks_unlinked'
  )
  where name not in (select name from counters)
)
where rows < ?1
on conflict (name) do update set value = excluded.value where value <> excluded.value
