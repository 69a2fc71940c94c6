-- ?1 id, ?2 domain, ?3 short_code, ?4 target, ?5 title, ?6 is_active, ?7 status, ?8 owner, ?9 expires_at, ?10 created_at,
-- ?11 updated_at, ?12 deleted_at, ?13 version
-- A code that is another's makes the row a twin. Inserts (and returns) nothing where the id is taken.
insert into links (
  id, domain, short_code, twin, target, title, is_active, status, owner, expires_at, created_at, updated_at, deleted_at, version
)
values (
  ?1, ?2, ?3,
  case when exists (select 1 from links where domain = ?2 and short_code = ?3 and twin = 0) then ?1 else 0 end,
  ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13
)
on conflict (id) do nothing
returning twin
