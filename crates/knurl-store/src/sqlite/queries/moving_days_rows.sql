-- ?1 ?2 after, ?3 ?4 up to, ?5 limit. `agents` is rows of dimension, value and total
select link_id, day, total, human, visitors, sketch,
  (
    select json_group_array(json_array(dimension, value, total))
    from link_shares s
    where s.link_id = d.link_id
      and s.dimension in (1, 2, 3)
      and s.day = d.day
  )
from link_days d
where (link_id, day) > (?1, ?2) and (link_id, day) <= (?3, ?4)
order by link_id, day
limit ?5
