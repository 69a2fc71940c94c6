-- Arrays: $1 id
delete from audit_acceptances
where id = any($1::bigint[])
