-- ?1 id
delete from links
where id = ?1
returning short_code, state, version
