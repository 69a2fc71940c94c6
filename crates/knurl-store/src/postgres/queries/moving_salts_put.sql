-- Arrays: $1 and so on: the columns
insert into visitor_salts (day, salt)
select day, salt
from unnest($1::bigint[], $2::bytea[])
  as new (day, salt)
on conflict (day) do update
set salt = excluded.salt
