-- ?1 link, ?2 total, ?3 human, ?4 last click
insert into link_totals (link_id, total, human, last_click_at)
values (?1, ?2, ?3, ?4)
on conflict (link_id) do update
set total = total + excluded.total,
  human = human + excluded.human,
  last_click_at = max(last_click_at, excluded.last_click_at)
