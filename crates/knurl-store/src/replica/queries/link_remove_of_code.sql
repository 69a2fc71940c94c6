-- ?1 domain, ?2 short_code, ?3 twin
delete from links
where domain = ?1 and short_code = ?2 and twin = ?3
returning short_code, state, version
