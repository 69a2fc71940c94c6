-- ?1 and so on: the columns
insert into links (id, domain, short_code, twin, target, title, is_active, status, owner, expires_at, created_at, updated_at, deleted_at, version)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
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
