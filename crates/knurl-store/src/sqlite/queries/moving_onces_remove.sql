-- ?1 id
delete from onces
where id = ?1
