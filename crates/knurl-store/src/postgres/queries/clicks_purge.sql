-- $1 before, $2 limit
with old as (
  select link_id, id, at
  from clicks
  where at < $1
  order by at
  limit $2
), gone as (
  delete from clicks c
  using old
  where c.link_id = old.link_id and c.id = old.id and c.at = old.at and c.at < $1
  returning c.source
)
select count(*), count(*) filter (where source = 0)
from gone
