-- ?1 link_id, ?2 hour
delete from link_hours
where link_id = ?1
  and hour = ?2
