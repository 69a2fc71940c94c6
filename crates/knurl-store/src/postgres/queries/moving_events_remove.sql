-- Arrays: $1 id
delete from events
where id = any($1::bigint[])
