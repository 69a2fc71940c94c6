-- ?1 id
delete from links
where id = ?1
