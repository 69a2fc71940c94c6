-- ?1 id
delete from deleted_users
where id = ?1
