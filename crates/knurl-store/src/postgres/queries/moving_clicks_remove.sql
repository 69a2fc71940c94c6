-- Arrays: $1 id
delete from clicks
where id = any($1::bigint[])
