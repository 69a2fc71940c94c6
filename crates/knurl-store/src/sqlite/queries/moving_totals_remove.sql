-- ?1 link_id
delete from link_totals
where link_id = ?1
