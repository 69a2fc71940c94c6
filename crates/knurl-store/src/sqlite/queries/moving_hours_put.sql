-- ?1 and so on: the columns
insert into link_hours (link_id, hour, total, human, visitors, sketch)
values (?1, ?2, ?3, ?4, ?5, ?6)
on conflict (link_id, hour) do update
set total = excluded.total,
  human = excluded.human,
  visitors = excluded.visitors,
  sketch = excluded.sketch
