-- ?1 id
delete from events
where id = ?1
