-- ?1 link, ?2 day, ?3 total, ?4 human, ?5 visitors, ?6 sketch
insert into link_days (link_id, day, total, human, visitors, sketch)
values (?1, ?2, ?3, ?4, ?5, ?6)
on conflict (link_id, day) do update
set total = excluded.total,
  human = excluded.human,
  visitors = excluded.visitors,
  sketch = excluded.sketch
