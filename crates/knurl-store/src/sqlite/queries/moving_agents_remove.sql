-- ?1 link, ?2 day
delete from link_shares
where link_id = ?1
  and dimension in (1, 2, 3)
  and day = ?2
