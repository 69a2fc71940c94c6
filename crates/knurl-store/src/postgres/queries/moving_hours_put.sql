-- Arrays: $1 and so on: the columns
insert into link_hours (link_id, hour, total, human, visitors, sketch)
select link_id, hour, total, human, visitors, sketch
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[])
  as new (link_id, hour, total, human, visitors, sketch)
on conflict (link_id, hour) do update
set total = excluded.total,
  human = excluded.human,
  visitors = excluded.visitors,
  sketch = excluded.sketch
