-- ?1 and so on: the columns
insert into keys (id, name, hash, created_at, revoked_at)
values (?1, ?2, ?3, ?4, ?5)
on conflict (id) do update
set name = excluded.name,
  hash = excluded.hash,
  created_at = excluded.created_at,
  revoked_at = excluded.revoked_at
