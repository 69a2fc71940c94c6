-- ?1 link, ?2 hour, ?3 total, ?4 human, ?5 visitors, ?6 sketch (null: these clicks know no visitors)
insert into link_hours (link_id, hour, total, human, visitors, sketch)
values (?1, ?2, ?3, ?4, ?5, ?6)
on conflict (link_id, hour) do update
set total = total + excluded.total,
  human = human + excluded.human,
  visitors = case when excluded.sketch is null then visitors else excluded.visitors end,
  sketch = coalesce(excluded.sketch, sketch)
