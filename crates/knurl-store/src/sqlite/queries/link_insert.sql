-- ?1 domain, ?2 short_code, ?3 target, ?4 title, ?5 is_active, ?6 status, ?7 owner, ?8 expires_at, ?9 now
-- Inserts nothing where the owner does not exist.
insert into links (domain, short_code, target, title, is_active, status, owner, expires_at, created_at, updated_at, version)
select ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, 1
where ?7 is null or exists (select 1 from users where id = ?7)
