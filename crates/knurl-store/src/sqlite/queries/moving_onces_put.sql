-- ?1 and so on: the columns
insert into onces (at, id, fingerprint, fates)
values (?1, ?2, ?3, ?4)
on conflict (id) do update
set at = excluded.at,
  fingerprint = excluded.fingerprint,
  fates = excluded.fates
