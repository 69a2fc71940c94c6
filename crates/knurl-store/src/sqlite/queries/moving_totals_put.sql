-- ?1 and so on: the columns
insert into link_totals (link_id, total, human, last_click_at)
values (?1, ?2, ?3, ?4)
on conflict (link_id) do update
set total = excluded.total,
  human = excluded.human,
  last_click_at = excluded.last_click_at
