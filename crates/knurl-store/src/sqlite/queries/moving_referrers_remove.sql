-- ?1 link, ?2 day, ?3 host
delete from link_shares
where link_id = ?1
  and dimension = 0
  and day = ?2
  and value = ?3
