-- Arrays: $1 and so on: the columns
insert into onces (at, id, fingerprint, fates)
select at, id, fingerprint, fates
from unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::text[])
  as new (at, id, fingerprint, fates)
on conflict (id) do update
set at = excluded.at,
  fingerprint = excluded.fingerprint,
  fates = excluded.fates
