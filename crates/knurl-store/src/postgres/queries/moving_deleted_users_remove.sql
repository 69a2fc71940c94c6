-- Arrays: $1 id
delete from deleted_users
where id = any($1::bigint[])
