-- ?1 ?2 after, ?3 ?4 up to, ?5 limit
select link_id, day, value, total
from link_shares
where (link_id, dimension, day) > (?1, 0, ?2) and (link_id, dimension, day) <= (?3, 0, ?4)
  and dimension = 0
order by link_id, dimension, day, value
limit ?5
