-- ?1 id
delete from keys
where id = ?1
