-- ?1 after, ?2 limit
select part, a, b, seq
from moving_notes
where seq > ?1
order by seq
limit ?2
