-- $1 table. The partitions it has by the month, in order
select part.relname::text
from pg_inherits
join pg_class part on part.oid = inhrelid
join pg_class whole on whole.oid = inhparent
where whole.relname = $1::text
  and whole.relnamespace = (select oid from pg_namespace where nspname = current_schema())
  and part.relname ~ '^clicks_[0-9]{4}_[0-9]{2}$'
order by part.relname
