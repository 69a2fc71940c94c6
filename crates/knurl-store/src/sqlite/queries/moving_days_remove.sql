-- ?1 link, ?2 day
delete from link_days
where link_id = ?1
  and day = ?2
