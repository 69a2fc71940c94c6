-- Arrays: $1 and so on: the columns
insert into link_totals (link_id, total, human, last_click_at)
select link_id, total, human, last_click_at
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])
  as new (link_id, total, human, last_click_at)
on conflict (link_id) do update
set total = excluded.total,
  human = excluded.human,
  last_click_at = excluded.last_click_at
