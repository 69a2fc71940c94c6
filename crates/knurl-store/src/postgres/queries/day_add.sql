-- Arrays: $1 link, $2 day, $3 total, $4 human, $5 visitors, $6 sketch (null: these clicks bring no new visitor), $7 agents, the stored ones
-- among them
insert into link_days as was (link_id, day, total, human, visitors, sketch, agents)
select link_id, day, total, human, visitors, sketch, agents::jsonb
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[], $7::text[])
  as new (link_id, day, total, human, visitors, sketch, agents)
on conflict (link_id, day) do update
set total = was.total + excluded.total,
  human = was.human + excluded.human,
  visitors = case when excluded.sketch is null then was.visitors else excluded.visitors end,
  sketch = coalesce(excluded.sketch, was.sketch),
  agents = excluded.agents
