-- Arrays: $1 link, $2 hour, $3 total, $4 human, $5 visitors, $6 sketch (null: these clicks bring no new visitor)
insert into link_hours as was (link_id, hour, total, human, visitors, sketch)
select *
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[])
on conflict (link_id, hour) do update
set total = was.total + excluded.total,
  human = was.human + excluded.human,
  visitors = case when excluded.sketch is null then was.visitors else excluded.visitors end,
  sketch = coalesce(excluded.sketch, was.sketch)
