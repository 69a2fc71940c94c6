-- ?1 name
select value
from counters
where name = ?1
