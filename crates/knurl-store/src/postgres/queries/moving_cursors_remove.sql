-- Arrays: $1 spool
delete from cursors
where spool_id = any($1::bytea[])
