-- Arrays: $1 link, $2 day, $3 total, $4 human, $5 visitors, $6 sketch, $7 agents; of days there are none of
insert into link_days (link_id, day, total, human, visitors, sketch, agents)
select link_id, day, total, human, visitors, sketch, agents::jsonb
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[], $7::text[])
  as new (link_id, day, total, human, visitors, sketch, agents)
