-- ?1 link, ?2 dimension, ?3 day, ?4 value, ?5 total; changes nothing where the value is new
update link_shares
set total = total + ?5
where link_id = ?1 and dimension = ?2 and day = ?3 and value = ?4
