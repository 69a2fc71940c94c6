-- ?1 owner, ?2 target, ?3 now. The oldest that answers.
select id, domain, short_code, target, title, is_active, status, owner, expires_at, created_at, updated_at, deleted_at, version
from links
where owner = ?1
  and owner is not null
  and deleted_at is null
  and is_active = 1
  and target = ?2
  and (expires_at is null or expires_at > ?3)
order by id
limit 1
