-- ?1 id, ?2 domain, ?3 short_code, ?4 target, ?5 title, ?6 is_active, ?7 status, ?8 owner, ?9 expires_at, ?10 created_at,
-- ?11 updated_at, ?12 deleted_at, ?13 version, ?14 twin: the id where link_code_taken says so, else 0.
-- Inserts nothing where the id is taken. No `returning`: it gives every statement a journal of its own, whose release walks all
-- pages the chunk has changed so far.
insert into links (
  id, domain, short_code, twin, target, title, is_active, status, owner, expires_at, created_at, updated_at, deleted_at, version
)
values (?1, ?2, ?3, ?14, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
on conflict (id) do nothing
