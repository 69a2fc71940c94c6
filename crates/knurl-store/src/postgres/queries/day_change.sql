-- Arrays: $1 link, $2 day, $3 total, $4 human, $5 visitors, $6 sketch (null: these clicks bring no new visitor), $7 agents, the stored ones
-- among them; of days there are
update link_days was
set total = was.total + added.total,
  human = was.human + added.human,
  visitors = case when added.sketch is null then was.visitors else added.visitors end,
  sketch = coalesce(added.sketch, was.sketch),
  agents = added.agents::jsonb
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[], $7::text[])
  as added (link_id, day, total, human, visitors, sketch, agents)
where was.link_id = added.link_id and was.day = added.day
