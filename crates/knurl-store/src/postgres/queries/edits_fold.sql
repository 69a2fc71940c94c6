-- $1 this node, $2 shards that we hold, so that nobody else counts in them
-- What others have noted, moved under the empty name: every sum of the rest stays what it was.
with gone as (
  delete from counters
  where name > 'edits '
    and name < 'edits!'
    and name <> 'edits ' || $1::text
    and shard = any($2::integer[])
  returning shard, value
), kept as (
  insert into counters as c (name, shard, value)
  select 'edits ', shard, sum(value)::bigint
  from gone
  group by shard
  on conflict (name, shard) do update
  set value = c.value + excluded.value
)
select count(*)
from gone
