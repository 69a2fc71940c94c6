-- ?1 id, ?2 domain, ?3 short_code, ?4 twin, ?5 state, ?6 target, ?7 is_active, ?8 status, ?9 owner, ?10 expires_at, ?11 version, ?12 check_sum
insert into links (id, domain, short_code, twin, state, target, is_active, status, owner, expires_at, version, check_sum)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
