-- Arrays: $1 link, $2 total, $3 human, $4 last click. In ascending order: whoever is here first holds the link's roll-ups (roll_up.rs).
-- What their totals are now.
insert into link_totals as was (link_id, total, human, last_click_at)
select *
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])
on conflict (link_id) do update
set total = was.total + excluded.total,
  human = was.human + excluded.human,
  last_click_at = greatest(was.last_click_at, excluded.last_click_at)
returning link_id, total
