-- ?1 owner, ?2 is_active, ?3 title pattern, ?4 target pattern, ?5 after id, ?6 limit, ?7 offset
select id, domain, short_code, target, title, is_active, status, owner, expires_at, created_at, updated_at, deleted_at, version
from links
where owner = ?1
  and id > ?5
  and owner is not null
  and deleted_at is null
  and (?2 is null or is_active = ?2)
  and (?3 is null or title like ?3 escape '\')
  and (?4 is null or target like ?4 escape '\')
order by id
limit ?6 offset ?7
