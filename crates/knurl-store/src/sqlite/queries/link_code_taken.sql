-- ?1 domain, ?2 short_code
select exists (select 1 from links where domain = ?1 and short_code = ?2 and twin = 0)
