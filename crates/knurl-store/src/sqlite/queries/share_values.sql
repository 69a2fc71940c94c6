-- ?1 link, ?2 dimension, ?3 day: how many different values there are
select count(*)
from link_shares
where link_id = ?1 and dimension = ?2 and day = ?3
