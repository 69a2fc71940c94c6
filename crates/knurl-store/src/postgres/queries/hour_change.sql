-- Arrays: $1 link, $2 hour, $3 total, $4 human, $5 visitors, $6 sketch (null: these clicks bring no new visitor); of hours there are
update link_hours was
set total = was.total + added.total,
  human = was.human + added.human,
  visitors = case when added.sketch is null then was.visitors else added.visitors end,
  sketch = coalesce(added.sketch, was.sketch)
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[])
  as added (link_id, hour, total, human, visitors, sketch)
where was.link_id = added.link_id and was.hour = added.hour
