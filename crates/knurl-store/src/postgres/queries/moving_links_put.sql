-- Arrays: $1 and so on: the columns
insert into links (id, domain, short_code, twin, target, title, is_active, status, owner, expires_at, created_at, updated_at, deleted_at, version)
select id, domain, short_code, twin, target, title, is_active <> 0, status::smallint, owner, expires_at, created_at, updated_at, deleted_at, version
from unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[])
  as new (id, domain, short_code, twin, target, title, is_active, status, owner, expires_at, created_at, updated_at, deleted_at, version)
on conflict (id) do update
set domain = excluded.domain,
  short_code = excluded.short_code,
  twin = excluded.twin,
  target = excluded.target,
  title = excluded.title,
  is_active = excluded.is_active,
  status = excluded.status,
  owner = excluded.owner,
  expires_at = excluded.expires_at,
  created_at = excluded.created_at,
  updated_at = excluded.updated_at,
  deleted_at = excluded.deleted_at,
  version = excluded.version
